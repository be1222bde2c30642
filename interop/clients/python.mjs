// Debian's requests and grpcio: the programs beside this one make the calls and print what
// they got. Another Python may come first in $PATH, and another protoc.
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { fileURLToPath } from "node:url";
import { errorId } from "../details.mjs";

const run = promisify(execFile);
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const generated = mkdtempSync(join(tmpdir(), "python-"));
execFileSync("/usr/bin/protoc", [
  "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin", `--python_out=${generated}`, `--grpc_python_out=${generated}`,
  "zitadel/v1/zitadel.proto", "zitadel/management/v1/management.proto",
], { cwd: here("../../proto") });

function client(name, program, own) {
  return {
    name,
    own,
    async call(address, scenario) {
      const env = { ...process.env, PYTHONPATH: generated };
      const { stdout } = await run("/usr/bin/python3", [here(program), address, JSON.stringify(scenario)], { env });
      const { details, ...outcome } = JSON.parse(stdout);
      return { ...outcome, id: outcome.id ?? errorId(details && Buffer.from(details, "base64")) };
    },
  };
}

export default [
  client("Python requests (REST)", "python-requests.py"),
  client("Python grpcio", "python-grpcio.py", { "deadline passed": { message: "Deadline Exceeded" } }),
];

export function close() {
  rmSync(generated, { recursive: true });
}
