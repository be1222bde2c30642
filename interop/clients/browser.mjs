// The clients in ../browser, in a page in Debian's Chromium whose origin is not the
// adapter's: the browser asks by a preflight whether it may make the call, and lets
// the page read only what the adapter exposes.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { chromium } from "playwright-core";
import clients from "../browser/clients.mjs";

const { outputFiles: [script] } = buildSync({
  entryPoints: [fileURLToPath(new URL("../browser/page.mjs", import.meta.url))], bundle: true, write: false,
});
const server = createServer(({ url }, response) => {
  const files = { "/": ["text/html", '<!doctype html><script src="/page.js"></script>'], "/page.js": ["text/javascript", script.contents] };
  const [type, content] = files[url] ?? ["text/plain", ""];
  response.writeHead(url in files ? 200 : 404, { "content-type": type }).end(content);
}).listen(0, "127.0.0.1");
await once(server, "listening");

// Playwright gives it a new profile, keeps it from calling home, and ends it with this process
// at the latest.
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--disable-gpu", "--disable-quic"] });
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}`);

const preflights = [];
const network = await page.context().newCDPSession(page);
network.on("Network.requestWillBeSent", ({ initiator, request }) => {
  if (initiator.type === "preflight") preflights.push(request);
});
await network.send("Network.enable");
await network.send("Network.setCacheDisabled", { cacheDisabled: true }); // it would remember the answers to preflights

export default clients.map(({ name }, index) => ({
  name: `${name}, Chromium`,
  asked: new Set(), // for: by preflights
  readable: new Set(), // headers, for the page
  async call(address, scenario) {
    preflights.length = 0;
    const { outcome, readable } = await page.evaluate((call) => window.call(...call), [index, address, scenario]);
    const { headers } = await preflight(address);
    headers["Access-Control-Request-Headers"].split(",").forEach((header) => this.asked.add(header));
    readable.forEach((header) => this.readable.add(header));
    return outcome;
  },
}));

export async function close() {
  await browser.close();
  server.close();
}

// preflight waits until the browser has told of the call's preflight, and fails if that is
// not one to the adapter from another origin.
async function preflight(address) {
  for (const deadline = Date.now() + 20_000; preflights.length === 0; await setTimeout(20)) {
    assert.ok(Date.now() < deadline, "the browser sent no preflight");
  }
  const [{ method, url, headers }] = preflights;
  assert.equal(method, "OPTIONS");
  assert.equal(new URL(url).host, address);
  assert.equal(headers.Origin, new URL(page.url()).origin);
  assert.notEqual(headers.Origin, new URL(url).origin);
  return preflights[0];
}
