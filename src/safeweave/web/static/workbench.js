// What makes the workbench quick: keys, lines that show their source, and a draft that keeps itself.
// No key decides anything: keys only move the focus. Without this file every form and link works all the same.

const OFF = "safeweave-keys-off";
const dialog = document.getElementById("keys");

// ---------------------------------------------------------------- keys

function typing(target) {
  return target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
}

function isOff() {
  try {
    return localStorage.getItem(OFF) === "1";
  } catch {
    return false;
  }
}

function items() {
  return [...document.querySelectorAll("[data-queue] > li > a")].filter((link) => link.offsetParent);
}

function step(by) {
  const links = items();
  if (!links.length) return;
  const focused = links.indexOf(document.activeElement);
  const start = focused >= 0 ? focused : links.findIndex((link) => link.hasAttribute("aria-current"));
  const next = start < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(start + by, 0), links.length - 1);
  links[next].focus();
}

function focusOn(part) {
  if (!part) return;
  const around = part.closest("details");
  if (around && !around.open) around.open = true;
  part.focus();
  part.scrollIntoView({ block: "nearest" });
}

const ACTS = {
  j: () => step(1),
  k: () => step(-1),
  e: () => focusOn(document.getElementById("pane-evidence")),
  d: () => focusOn(document.getElementById("note") ?? document.getElementById("pane-decision")),
  q: () => (document.getElementById("pane-queue") ? focusOn(document.getElementById("pane-queue")) : step(1)),
  m: () => {
    const asking = document.getElementById("asking");
    if (asking) {
      asking.open = true;
      focusOn(document.getElementById("wanted"));
    }
  },
  "/": () => {
    const field = document.querySelector("[data-search]");
    if (field) focusOn(field);
    else location.assign("/desk/search");
  },
  "?": () => showKeys(),
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape" && typing(event.target)) {
    event.target.blur();
    const pane = event.target.closest(".pane");
    if (pane) pane.focus();
    return;
  }
  if (typing(event.target) || dialog?.open || isOff()) return;
  const act = ACTS[event.key] ?? keyed(event.key);
  if (!act) return;
  event.preventDefault();
  act();
});

function keyed(key) {
  if (!/^[axr]$/.test(key)) return null;
  const part = document.querySelector(`main [data-key="${key}"]`);
  return part && (() => focusOn(part));
}

function showKeys() {
  if (!dialog) return;
  const toggle = dialog.querySelector("[data-toggle-keys]");
  toggle.textContent = isOff() ? dialog.dataset.on : dialog.dataset.off;
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-keys]")) {
    event.preventDefault();
    showKeys();
  } else if (event.target.closest("[data-close]")) {
    dialog.close();
  } else if (event.target.closest("[data-toggle-keys]")) {
    try {
      if (isOff()) localStorage.removeItem(OFF);
      else localStorage.setItem(OFF, "1");
    } catch {
      // the browser keeps nothing: keys stay as they are
    }
    dialog.close();
  }
});

// ---------------------------------------------------------------- panes

const wide = matchMedia("(min-width: 64rem)");

function openWide() {
  for (const part of document.querySelectorAll("[data-open-wide]")) {
    if (wide.matches && !document.documentElement.dataset.size) part.open = true;
  }
}

openWide();
wide.addEventListener("change", openWide);

// ---------------------------------------------------------------- a line and its source

function light(source) {
  for (const row of document.querySelectorAll("tr.lit")) row.classList.remove("lit");
  if (!source) return;
  for (const row of document.querySelectorAll("tr[data-source]")) {
    if (row.dataset.source === source) row.classList.add("lit");
  }
}

for (const name of ["mouseover", "focusin"]) {
  document.addEventListener(name, (event) => {
    const row = event.target.closest?.("tr[data-source]");
    if (row) light(row.dataset.source);
    else if (name === "mouseover" && event.target.closest?.(".panes")) light(focusedSource());
  });
}

function focusedSource() {
  return document.activeElement?.closest?.("tr[data-source]")?.dataset.source ?? "";
}

// ---------------------------------------------------------------- what is typed

const form = document.getElementById("deciding");
const DRAFT_AFTER_MS = 800;

function mark(field) {
  if (field.dataset.was !== undefined) field.classList.toggle("changed", field.value.trim() !== field.dataset.was);
}

if (form && document.getElementById("note")) {
  const said = document.getElementById("draft-said");
  let timer = 0;
  let sending = false;

  const save = async () => {
    timer = 0;
    if (sending) {
      timer = setTimeout(save, DRAFT_AFTER_MS);
      return;
    }
    sending = true;
    const fields = new URLSearchParams(new FormData(form));
    fields.delete("_once"); // that one is for the decision itself
    try {
      const answer = await fetch(form.dataset.draft, { method: "POST", body: fields, redirect: "manual" });
      if (answer.ok) {
        form.elements._draft.value = (await answer.json()).draft;
        said.textContent = form.dataset.kept;
      } else if (answer.status === 409) {
        said.textContent = form.dataset.stale;
      } else {
        said.textContent = form.dataset.lost;
      }
    } catch {
      said.textContent = form.dataset.lost;
      timer = setTimeout(save, 5000);
    }
    sending = false;
  };

  form.addEventListener("input", (event) => {
    mark(event.target);
    clearTimeout(timer);
    timer = setTimeout(save, DRAFT_AFTER_MS);
  });
  form.addEventListener("submit", () => clearTimeout(timer));
  for (const field of form.querySelectorAll("[data-was]")) mark(field);

  const phrases = form.querySelector("[data-phrases]");
  phrases.hidden = false;
  phrases.addEventListener("click", (event) => {
    const phrase = event.target.closest("[data-phrase]")?.dataset.phrase;
    if (!phrase) return;
    const note = document.getElementById("note");
    note.value = note.value.trim() ? `${note.value.trim()} ${phrase}` : phrase;
    note.dispatchEvent(new Event("input", { bubbles: true }));
    note.focus();
  });
}

document.getElementById("fault")?.scrollIntoView({ block: "nearest" });
if (document.querySelector("[data-queue]") && !document.querySelector(".panes") && !location.hash) items()[0]?.focus();
