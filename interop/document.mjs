// The tables in docs/clients.md.
import { readFileSync, writeFileSync } from "node:fs";

const path = new URL("../docs/clients.md", import.meta.url);

export function table(head, rows) {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

// difference is the lines in which the document's tables are not these, in their order; "" if
// there are none.
export function difference(tables) {
  const [there, wanted] = [readFileSync(path, "utf8").match(tableText) ?? [], tables].map((each) => each.join("\n").split("\n"));
  const lines = Array.from({ length: Math.max(there.length, wanted.length) }, (_, i) => [there[i] ?? "", wanted[i] ?? ""]);
  return lines.filter(([old, now]) => old !== now).map(([old, now]) => `- ${old}\n+ ${now}`).join("\n");
}

// update copies the tables into the document, in place of those that are there.
export function update(tables) {
  const rest = [...tables];
  writeFileSync(path, readFileSync(path, "utf8").replace(tableText, () => rest.shift()));
}

const tableText = /^\|.*\n(\|.*\n)+/gm;
