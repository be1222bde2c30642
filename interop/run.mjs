// Runs every client through every scenario against `zitadel-v1-adapter demo`,
// then the commands that the demo prints. Prints the tables that stand in
// docs/clients.md, or with --update puts them there; exits 1 if anything is not
// as v1 would have it.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { difference, table, update } from "./document.mjs";
import { scenarios } from "./scenarios.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);
const bin = mkdtempSync(join(tmpdir(), "interop-"));
const build = (cwd, name, target) => execFileSync("go", ["build", "-o", join(bin, name), target], { cwd, stdio: "inherit" });
build(root, "zitadel-v1-adapter", "./cmd/zitadel-v1-adapter");
build(here, "grpcgo", "./grpcgo");
build(here, "grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl");
process.env.INTEROP_GRPCGO = join(bin, "grpcgo");

const demo = spawn(join(bin, "zitadel-v1-adapter"), ["demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
let printed = "", logged = "";
demo.stdout.on("data", (data) => { printed += data; });
demo.stderr.on("data", (data) => { logged += data; });

let passed = 0, failed = 0;
const modules = [];
try {
  for (const name of ["zitadel-node", "connect-node", "grpc-web", "fetch", "axios", "curl", "python", "grpc-go", "browser"]) {
    modules.push(await import(`./clients/${name}.mjs`));
  }
  const clients = modules.flatMap((module) => module.default);
  await until(() => printed.includes("Ctrl-C ends the demo."), "the demo to start");
  const address = /demo on http:\/\/(\S+),/.exec(printed)[1];
  const rows = [];
  for (const client of clients) rows.push([client.name, ...await runClient(client, address)]);
  checkDocument([
    table(["client", ...scenarios.map((scenario) => scenario.name)], rows),
    table(["client", "the preflights ask for", "the page can read"], clients.filter((client) => client.asked).map(crossOrigin)),
  ]);
  runPrintedCommands();
} finally {
  for (const module of modules) await module.close?.();
  demo.kill("SIGTERM");
  if (demo.exitCode === null) await once(demo, "exit");
  rmSync(bin, { recursive: true });
}
check(!/Sup3rPassw0rd|acme-owner-token/.test(logged), "a password or a token is in the demo's log");
console.log(failed === 0 ? "\ninterop: all as v1" : `\ninterop: ${failed} failures`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);

async function runClient(client, address) {
  const cells = [];
  for (const scenario of scenarios) {
    const got = strip(await soon(client.call(address, scenario)).catch((error) => ({ thrown: `${error}` })));
    const want = { ...scenario.expect, ...client.own?.[scenario.name] };
    const good = isDeepStrictEqual(got, want);
    check(good, `${client.name}, ${scenario.name}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
    cells.push(good ? summary(got) : "FAILED");
  }
  return cells;
}

// runPrintedCommands pastes what the demo printed into a shell, as a person would.
function runPrintedCommands() {
  const commands = printed.match(/^(curl|grpcurl) (.*\\\n)*.*$/gm);
  const wanted = [/HTTP\/1.1 200[^]*"resourceOwner":"1001"/, /"resourceOwner": "1001"/, /HTTP\/1.1 400[^]*COMMAND-G8dh3/];
  if (!check(commands.length === wanted.length, `the demo printed ${commands.length} commands`)) return;
  commands.forEach((command, i) => {
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
    const output = execFileSync("bash", ["-c", command], { cwd: root, env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    check(wanted[i].test(output), `${command}\nprinted\n${output}`);
  });
}

// checkDocument makes sure that docs/clients.md has the tables just measured, and with --update
// that it has them from now on.
function checkDocument(tables) {
  console.log(tables.join("\n"));
  if (process.argv.includes("--update") && failed === 0) update(tables);
  const differs = difference(tables);
  check(!differs, `the tables in docs/clients.md are not what was measured. To update them: npm run update\n${differs}`);
}

function crossOrigin({ name, asked, readable }) {
  return [name, ...[asked, readable].map((headers) => [...headers].sort().join(", "))];
}

function strip(outcome) {
  return Object.fromEntries(Object.entries(outcome).filter(([, value]) => value !== undefined && value !== ""));
}

function summary({ code, id }) {
  return code === 0 ? "OK" : id ? `${code} ${id}` : `${code}`;
}

function check(good, text) {
  if (good) passed++;
  else failed++;
  if (!good) console.error(`FAIL: ${text}`);
  return good;
}

// soon fails if a call takes so long that it will never end.
function soon(call) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(reject, 60_000, new Error("no answer within a minute")); });
  return Promise.race([call, late]).finally(() => clearTimeout(timer));
}

async function until(condition, what) {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline || demo.exitCode !== null) throw new Error(`waited in vain for ${what}: ${logged}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
