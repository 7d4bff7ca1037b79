// One stream of changes for all tabs of a browser: a browser opens six connections to one place over HTTP/1.1, and a
// seventh tab with a stream of its own would wait for ever.

const ports = new Set();
let stream = null;
let place = ""; // what was told goes so far; a page that was written before that may have missed some of it
let wasLost = false;

function tell(topics) {
  for (const port of ports) port.postMessage({ topics, place });
}

function open() {
  place = "";
  stream = new EventSource("/events");
  stream.onmessage = (event) => {
    place = event.lastEventId;
    tell(JSON.parse(event.data));
  };
  stream.onopen = () => {
    if (wasLost) tell(["*"]); // whatever was missed is asked for
    wasLost = false;
  };
  stream.onerror = () => {
    wasLost = true;
    if (stream.readyState === EventSource.CLOSED) stream = null; // signed out; the next page opens it again
  };
}

self.onconnect = (event) => {
  const port = event.ports[0];
  ports.add(port);
  port.onmessage = () => {
    ports.delete(port);
    if (!ports.size && stream) {
      stream.close();
      stream = null;
    }
  };
  if (!stream) open();
  else if (place) port.postMessage({ topics: [], place });
};
