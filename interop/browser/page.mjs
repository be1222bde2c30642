// The page's script. What it notes of XMLHttpRequest and fetch are the names of the
// headers that the browser lets the page read; the clients do not notice.
import clients from "./clients.mjs";

let readable = [];

const { open } = XMLHttpRequest.prototype;
XMLHttpRequest.prototype.open = function (...options) {
  this.addEventListener("readystatechange", () => {
    if (this.readyState !== XMLHttpRequest.HEADERS_RECEIVED) return;
    readable.push(...this.getAllResponseHeaders().trim().split("\r\n").map((line) => line.split(":")[0]));
  });
  return open.apply(this, options);
};

const { fetch } = window;
window.fetch = async (...options) => {
  const response = await fetch(...options);
  readable.push(...response.headers.keys());
  return response;
};

window.call = async (client, address, scenario) => {
  readable = [];
  const outcome = await clients[client].call(address, scenario);
  return { outcome, readable };
};
