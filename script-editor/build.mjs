// Builds the script editor into rules/static, and beside it the licences of all that is in it.

import { build } from "esbuild";
import { readFile, readdir, writeFile } from "node:fs/promises";

const OUT = "../rules/static/rowkeeper";

const { metafile } = await build({
    entryPoints: ["src/editor.mjs"],
    outfile: `${OUT}/script-editor.js`,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    banner: { js: "/* CodeMirror 6, built from script-editor/. Licences: script-editor.licences.txt */" },
    metafile: true,
});

const folders = new Set(Object.keys(metafile.inputs)
    .map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1])
    .filter(Boolean));

async function licence(name) {
    const folder = `node_modules/${name}`;
    const { version, license } = JSON.parse(await readFile(`${folder}/package.json`, "utf8"));
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} has no licence`);
    return `${name} ${version} (${license})\n\n${(await readFile(`${folder}/${file}`, "utf8")).trim()}\n`;
}

const texts = await Promise.all([...folders].sort().map(licence));
const rule = "-".repeat(72);
await writeFile(`${OUT}/script-editor.licences.txt`, `${texts.join(`\n${rule}\n\n`)}`);
console.log([...folders].sort().join(", "));
