// Runs every client through every scenario against `zitadel-v1-adapter demo`,
// then the commands that the demo prints. Prints the table that stands in
// docs/clients.md; exits 1 if anything is not as v1 would have it.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);
const bin = mkdtempSync(join(tmpdir(), "interop-"));
const build = (cwd, name, target) => execFileSync("go", ["build", "-o", join(bin, name), target], { cwd, stdio: "inherit" });
build(root, "zitadel-v1-adapter", "./cmd/zitadel-v1-adapter");
build(here, "grpcgo", "./grpcgo");
build(here, "grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl");
process.env.INTEROP_GRPCGO = join(bin, "grpcgo");

const { scenarios } = await import("./scenarios.mjs");
const clients = [];
for (const module of ["zitadel-node", "connect-node", "grpc-web", "fetch", "grpc-go"]) {
  clients.push(...(await import(`./clients/${module}.mjs`)).default);
}

const demo = spawn(join(bin, "zitadel-v1-adapter"), ["demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
let printed = "", logged = "";
demo.stdout.on("data", (data) => { printed += data; });
demo.stderr.on("data", (data) => { logged += data; });

let failures = 0;
try {
  await until(() => printed.includes("Ctrl-C ends the demo."), "the demo to start");
  const address = /demo on http:\/\/(\S+),/.exec(printed)[1];
  const rows = [];
  for (const client of clients) rows.push([client.name, ...await runClient(client, address)]);
  printTable(["client", ...scenarios.map((scenario) => scenario.name)], rows);
  checkDocument(rows);
  runPrintedCommands();
} finally {
  demo.kill("SIGTERM");
  rmSync(bin, { recursive: true });
}
if (/Sup3rPassw0rd|acme-owner-token/.test(logged)) fail("a password or a token is in the demo's log");
console.log(failures === 0 ? "\ninterop: all as v1" : `\ninterop: ${failures} failures`);
const checks = clients.length * (scenarios.length + 1) + 4; // calls and rows of the document; three commands and the log
console.log(`${checks - failures} passed, ${failures} failed`);
process.exit(failures === 0 ? 0 : 1);

async function runClient(client, address) {
  const cells = [];
  for (const scenario of scenarios) {
    const got = strip(await client.call(address, scenario));
    const good = isDeepStrictEqual(got, scenario.expect);
    if (!good) fail(`${client.name}, ${scenario.name}: got ${JSON.stringify(got)}, want ${JSON.stringify(scenario.expect)}`);
    cells.push(good ? summary(got) : "FAILED");
  }
  return cells;
}

// runPrintedCommands pastes what the demo printed into a shell, as a person would.
function runPrintedCommands() {
  const commands = printed.match(/^(curl|grpcurl) (.*\\\n)*.*$/gm);
  const wanted = [/HTTP\/1.1 200[^]*"resourceOwner":"1001"/, /"resourceOwner": "1001"/, /HTTP\/1.1 400[^]*COMMAND-G8dh3/];
  if (commands.length !== wanted.length) return fail(`the demo printed ${commands.length} commands`);
  commands.forEach((command, i) => {
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
    const output = execFileSync("bash", ["-c", command], { cwd: root, env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    if (!wanted[i].test(output)) fail(`${command}\nprinted\n${output}`);
  });
}

// checkDocument makes sure that the table in docs/clients.md is the one just measured.
function checkDocument(rows) {
  const document = readFileSync(join(root, "docs", "clients.md"), "utf8");
  for (const row of rows) {
    if (!document.includes(`| ${row.join(" | ")} |`)) fail(`docs/clients.md lacks the row | ${row.join(" | ")} |`);
  }
}

function strip(outcome) {
  return Object.fromEntries(Object.entries(outcome).filter(([, value]) => value !== undefined && value !== ""));
}

function summary({ code, id }) {
  return code === 0 ? "OK" : id ? `${code} ${id}` : `${code}`;
}

function printTable(head, rows) {
  const line = (cells) => console.log(`| ${cells.join(" | ")} |`);
  line(head);
  line(head.map(() => "---"));
  rows.forEach(line);
}

function fail(text) {
  failures++;
  console.error(`FAIL: ${text}`);
}

async function until(condition, what) {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline || demo.exitCode !== null) throw new Error(`waited in vain for ${what}: ${logged}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
