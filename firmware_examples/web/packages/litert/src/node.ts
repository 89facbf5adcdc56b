/**
 * LiteRT.js in Node.js, for tests and servers. Its loader expects a browser's worker, so the few names that it uses are
 * defined here.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { runInThisContext } from "node:vm";

import { loadLiteRt } from "@litertjs/core";

let loading: Promise<unknown> | undefined;

/** Load the runtime once per process. */
export async function loadLiteRtInNode(): Promise<void> {
  loading ??= load();
  await loading;
}

async function load(): Promise<void> {
  const require = createRequire(import.meta.url);
  const folder = join(dirname(require.resolve("@litertjs/core")), "..", "wasm");
  const run = (url: string) => {
    const filename = url.replace(/^file:\/\//, "");
    runInThisContext(readFileSync(filename, "utf8"), { filename });
  };
  Object.assign(globalThis, { self: globalThis, require, __dirname: folder, importScripts: run });
  await loadLiteRt(`${folder}/`);
}
