// curl on v1's REST API, over either HTTP. The password comes by standard input, so that it
// is in no list of processes. What may pass, 504 too, is tried again after a second, and the
// file then has the last answer alone. With prior knowledge of HTTP/2 curl 7.88 fails at that,
// whatever the server: it begins the connection that it has once more.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { metadata } from "../scenarios.mjs";

const run = promisify(execFile);
const directory = mkdtempSync(join(tmpdir(), "curl-"));

function client(version, ...options) {
  return {
    name: `curl, HTTP/${version} (REST)`,
    async call(address, scenario) {
      const file = join(directory, "answer.json");
      const headers = Object.entries(metadata(scenario)).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
      const called = run("curl", [
        "--silent", "--show-error", "--max-time", "10", ...options, ...headers, "--json", "@-",
        "--output", file, "--write-out", "%{http_version} %{http_code}",
        `http://${address}/management/v1/users/${scenario.userId}/password/_initialize`,
      ]);
      called.child.stdin.end(JSON.stringify({ password: scenario.password }));
      const [spoken, status] = (await called).stdout.split(" ");
      if (spoken !== version) throw new Error(`curl spoke HTTP/${spoken}`);
      const { code, message, details } = JSON.parse(readFileSync(file, "utf8"));
      if (status === "200") return { code: 0, resourceOwner: details.resourceOwner };
      return { code, message, id: details?.[0]?.id };
    },
  };
}

export default [client("1.1", "--http1.1", "--retry", "1"), client("2", "--http2-prior-knowledge")];

export function close() {
  rmSync(directory, { recursive: true });
}
