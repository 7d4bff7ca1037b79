// One stream of changes for all tabs of a browser: a browser opens six connections to one place over HTTP/1.1, and a
// seventh tab with a stream of its own would wait for ever.

const ports = new Set();
let stream = null;
let wasLost = false;

function tell(topics) {
  for (const port of ports) port.postMessage(topics);
}

function open() {
  stream = new EventSource("/events");
  stream.onmessage = (event) => {
    const topics = JSON.parse(event.data);
    if (topics.length) tell(topics);
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
};
