/**
 * Print the time of each stage of a frame in Node.js, and the ratio to Python's in the same run.
 *
 *     CLIENT_PYTHON=.venv/bin/python npm run bench -- EMBEDDER.tflite DETECTOR.tflite [IMAGE.ppm]
 *
 * Without an image, a drawn frame of 480x640 pixels is used. If no face is detected, the middle of the frame is aligned.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { image, smoothField } from "@edge-sdk/core";
import { openNetwork } from "@edge-sdk/litert";
import { loadLiteRtInNode } from "@edge-sdk/litert/node";

import { measure } from "./stages.mjs";

const FRAMES = 100;
// Stages of `edge-sdk bench`; its first one is the sum of two that are measured here.
const STAGES = ["detect", "detect network", "align", "quality", "encode", "embed network", "decode"];

function readPpm(path) {
  const bytes = readFileSync(path);
  const header = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.subarray(0, 64).toString("latin1"));
  if (!header) throw new Error(`${path}: expected a binary PPM image with 8 bits per channel`);
  const [width, height] = [Number(header[1]), Number(header[2])];
  return image(height, width, 3, new Uint8Array(bytes.subarray(header[0].length)));
}

async function measureNode(models, frame) {
  await loadLiteRtInNode();
  const opened = await Promise.all(models.map((path) => openNetwork(new Uint8Array(readFileSync(path)))));
  const times = await measure(...opened, frame);
  times.set("detect", times.get("prepare") + times.get("faces"));
  return times;
}

function measurePython([model, detector], path) {
  const command = ["-m", "edge_sdk.cli", "bench", "--json", "--threads", "1", "--frames", String(FRAMES)];
  const options = ["--model", model, "--detector", detector, "--image", path];
  const { stages } = JSON.parse(execFileSync(process.env.CLIENT_PYTHON, [...command, ...options], { encoding: "utf8" }));
  const times = new Map(stages.map(({ name, p50_ms: time }) => [name, time]));
  times.set("frame", STAGES.filter((stage) => stage !== "quality").reduce((sum, stage) => sum + times.get(stage), 0));
  return times;
}

const [embedder, detector, picture] = process.argv.slice(2);
if (!embedder || !detector || !process.env.CLIENT_PYTHON) {
  console.error("usage: CLIENT_PYTHON=PYTHON npm run bench -- EMBEDDER.tflite DETECTOR.tflite [IMAGE.ppm]");
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), "edge-sdk-bench-"));
const path = picture ?? join(folder, "frame.ppm");
if (!picture) writeFileSync(path, Buffer.concat([Buffer.from("P6\n640 480\n255\n"), smoothField(480, 640, 3, 1).data]));
const own = await measureNode([embedder, detector], readPpm(path));
const python = measurePython([embedder, detector], path);
rmSync(folder, { recursive: true });
console.log("stage            Node ms  Python ms  ratio   (median; frame: without quality)");
for (const stage of [...STAGES, "frame"]) {
  const time = own.get(stage);
  const reference = python.get(stage);
  console.log(`${stage.padEnd(15)} ${time.toFixed(3).padStart(8)} ${reference.toFixed(3).padStart(10)} ${(time / reference).toFixed(2).padStart(6)}`);
}
process.exit(0);
