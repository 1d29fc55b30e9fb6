// Bundles a runbook and makes its component. Called by `sandbook build`; lies with the packages it imports.

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";
import { build } from "esbuild";

const [entry, sdk, wit, world, output] = process.argv.slice(2);
const bundle = `${entry.slice(0, -".js".length)}.bundle.js`;

try {
  await build({
    entryPoints: [entry],
    outfile: bundle,
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    target: "es2022",
    external: ["sandbook:*"],
    alias: { "sandbook/guest": `${sdk}/guest.js`, "sandbook/testing": `${sdk}/testing.js`, sandbook: `${sdk}/index.js` },
    sourcemap: false,
    logLevel: "error",
  });
} catch {
  // esbuild has said what is wrong, with file and line.
  process.exit(1);
}
const { component } = await componentize({
  sourcePath: bundle,
  witPath: wit,
  worldName: world,
  disableFeatures: ["http", "fetch-event"],
});
await writeFile(output, component);
