// Small helps for pages that work without them: a form is sent once, and what was typed is not lost with the page.

// Files that are too many or too large are told of at once, before they take minutes to send.
for (const input of document.querySelectorAll("input[type=file][data-most]")) {
  const fault = input.form.querySelector("[role=alert]");
  input.addEventListener("change", () => {
    const files = [...input.files];
    const wrong = files.length > input.dataset.most || files.some((file) => file.size > input.dataset.mostBytes);
    fault.textContent = wrong ? input.dataset.tooLarge : "";
    fault.hidden = !wrong;
    if (wrong) input.value = "";
  });
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  form.setAttribute("aria-busy", "true");
  if (form.enctype === "multipart/form-data") return; // takes as long as it takes; sent twice it counts once
  setTimeout(() => {
    delete form.dataset.sent; // the network may have been away
    form.removeAttribute("aria-busy");
  }, 4000);
});

const place = document.querySelector("nav [aria-current]");
if (place) {  // not by scrollIntoView: from there on Tab would begin behind the link past the top
  const [own, all] = [place.getBoundingClientRect(), place.closest("nav").getBoundingClientRect()];
  place.closest("nav").scrollLeft += own.left + own.width / 2 - all.left - all.width / 2;
}

addEventListener("pageshow", () => {
  for (const form of document.forms) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
  }
});

for (const part of document.querySelectorAll("[data-print]")) {
  part.hidden = false;
  part.addEventListener("click", () => window.print());
}

const KEPT = "safeweave:";

if (document.querySelector(".said") && !document.querySelector("form[action='/sign-in']")) {
  // it arrived: what was kept of it is not needed any more
  for (const key of Object.keys(sessionStorage)) if (key.startsWith(KEPT)) sessionStorage.removeItem(key);
}

for (const text of document.querySelectorAll("textarea[data-keep]")) {
  const key = `${KEPT}${location.pathname}:${text.name}`;
  if (!text.value) text.value = sessionStorage.getItem(key) ?? "";
  text.addEventListener("input", () => {
    try {
      sessionStorage.setItem(key, text.value);
    } catch {
      // too long for the browser's store; the page itself still holds it
    }
  });
}
