// What makes open pages follow what changes. Without this file every page still shows the present when it is loaded.
// A page marks what follows with data-live="case:… person:…" and hx-trigger="live"; this asks for it again, at most
// every data-every milliseconds: what many people look at all day is then asked for by each of them seldom enough.

const TOGETHER_MS = 150; // changes that come together are asked for once
const POLL_MS = 3000;

const pending = new Set();
const asked = new Map(); // when each part, by its id, was asked for last
let timer = 0;
let later = 0; // for parts whose turn has not come

function changed(topics) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const wanted = part.dataset.live.split(" ");
    if (topics.includes("*") || wanted.some((topic) => topics.includes(topic))) pending.add(part);
  }
  if (!timer && pending.size) timer = setTimeout(ask, TOGETHER_MS);
}

function ask() {
  timer = 0;
  clearTimeout(later);
  if (document.hidden) return; // asked for when somebody looks again
  const now = Date.now();
  let next = Infinity;
  for (const part of pending) {
    const due = (asked.get(part.id) ?? 0) + Number(part.dataset.every ?? 0);
    if (part.isConnected && due > now) {
      next = Math.min(next, due);
      continue;
    }
    pending.delete(part);
    if (!part.isConnected) continue;
    asked.set(part.id, now);
    window.htmx.trigger(part, "live");
  }
  if (pending.size) later = setTimeout(ask, next - now);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && pending.size) ask();
});

// What this page shows goes so far. Whatever changed between that and the moment we were listening is asked for once.
let written = document.body.dataset.place;

function catchUp(place) {
  if (!written || !place) return;
  const [steps, notices] = written.split(".").map(Number);
  const [toldSteps, toldNotices] = place.split(".").map(Number);
  if (steps < toldSteps || notices < toldNotices) changedSince(written).catch(() => changed(["*"]));
  written = "";
}

// The place now, once what changed since this one is asked for; null if nobody is signed in.
async function changedSince(place) {
  const answer = await fetch(`/events/since?after=${place}`);
  if (answer.status === 204) return null;
  if (!answer.ok) throw new Error(answer.statusText);
  const told = await answer.json();
  if (told.topics.length) changed(told.topics);
  return told.place;
}

async function poll() {
  let place = written ?? "";
  while (place !== null) {
    if (!document.hidden) {
      try {
        place = await changedSince(place);
      } catch {
        // the network is away; asked again
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function listen() {
  const worker = new SharedWorker("/static/stream.js", { name: "safeweave", type: "module" });
  worker.port.onmessage = ({ data }) => {
    changed(data.topics);
    catchUp(data.place);
  };
  worker.onerror = () => poll();
  worker.port.start();
  addEventListener("pagehide", () => worker.port.postMessage("bye"), { once: true });
}

if (document.querySelector("[data-live]")) {
  if (window.SharedWorker) {
    listen();
    addEventListener("pageshow", (event) => {
      if (!event.persisted) return; // back from another page, as it was left: listen again and ask for everything
      listen();
      changed(["*"]);
    });
  } else {
    poll();
  }
}
