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

async function poll() {
  let place = "";
  for (;;) {
    if (!document.hidden) {
      try {
        const answer = await fetch(`/events/since?after=${place}`);
        if (answer.status === 204) return; // nobody is signed in
        if (answer.ok) {
          const told = await answer.json();
          if (told.topics.length) changed(told.topics);
          place = told.place;
        }
      } catch {
        // the network is away; asked again
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function listen() {
  const worker = new SharedWorker("/static/stream.js", { name: "safeweave", type: "module" });
  worker.port.onmessage = (event) => changed(event.data);
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
