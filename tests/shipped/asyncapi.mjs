// The official parser's opinion of a document: node asyncapi.mjs FOLDER FILE, where FOLDER has the parser installed.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, file] = process.argv.slice(2);
const { Parser } = createRequire(`${folder}/`)("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
console.log(JSON.stringify({ channels: document?.channels().all().length ?? 0, diagnostics }));
