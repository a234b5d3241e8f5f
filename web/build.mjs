// Bundles src/ to the one script that the pages load, and writes the hash of the sources into its first line:
// tests/unit/ui/test_islands.py compares it, so that a changed source cannot be shipped with an old build.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { build } from "esbuild";

const hash = createHash("sha256");
for (const name of readdirSync("src").sort()) hash.update(name + "\0").update(readFileSync(`src/${name}`));

await build({
  entryPoints: ["src/main.ts"], bundle: true, minify: true, format: "esm", target: "es2022", charset: "utf8",
  outfile: "../src/hanok/ui/static/hanok.js",
  banner: { js: `/* built from web/src, sha256 ${hash.digest("hex")} */` },
});
