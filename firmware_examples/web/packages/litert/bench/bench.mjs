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

import {
  Aligner,
  arcface,
  assess,
  Detector,
  detectorCard,
  embedderCard,
  Encoder,
  image,
  largest,
  smoothField,
  unitEmbedding,
} from "@edge-sdk/core";
import { openNetwork } from "@edge-sdk/litert";
import { loadLiteRtInNode } from "@edge-sdk/litert/node";

const FRAMES = 100;
const WARM_UP = 20;
// Stages of `edge-sdk bench` that correspond to those measured here.
const STAGES = ["detect", "detect network", "align", "quality", "encode", "embed network", "decode"];

function readPpm(path) {
  const bytes = readFileSync(path);
  const header = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.subarray(0, 64).toString("latin1"));
  if (!header) throw new Error(`${path}: expected a binary PPM image with 8 bits per channel`);
  const [width, height] = [Number(header[1]), Number(header[2])];
  return image(height, width, 3, new Uint8Array(bytes.subarray(header[0].length)));
}

function percentile50(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

async function measure(models, frame) {
  await loadLiteRtInNode();
  const [embedding, detection] = await Promise.all(models.map((path) => openNetwork(new Uint8Array(readFileSync(path)))));
  const card = embedderCard(embedding.card);
  const detector = new Detector(detection.network, detectorCard(detection.card));
  const aligner = new Aligner(card.input);
  const encoder = new Encoder(card.input, embedding.network.inputs[0]);
  const crop = image(card.input.height, card.input.width);
  const middle = arcface(224, 224).map(([x, y]) => [x + (frame.width - 224) / 2, y + (frame.height - 224) / 2]);
  const standIn = { box: [0, 0, 224, 224], landmarks: middle, score: 1 };
  const times = new Map([...STAGES, "frame"].map((stage) => [stage, []]));
  for (let i = 0; i < WARM_UP + FRAMES; i++) {
    const marks = [performance.now()];
    const mark = () => marks.push(performance.now());
    const codes = detector.prepare(frame);
    mark();
    const outputs = await detection.network.run([codes]);
    mark();
    const face = largest(detector.decode(outputs, frame.height, frame.width)) ?? standIn;
    mark();
    aligner.align(frame, face.landmarks, crop);
    mark();
    const input = encoder.encode(crop);
    mark();
    const [output] = await embedding.network.run([input]);
    mark();
    unitEmbedding(output, embedding.network.outputs[0].zeroPoint);
    mark();
    assess(frame, face);
    mark();
    if (i < WARM_UP) continue;
    const [prepare, network, decode, align, encode, embed, unit, quality] = marks.slice(1).map((end, k) => end - marks[k]);
    const stages = [prepare + decode, network, align, quality, encode, embed, unit];
    STAGES.forEach((stage, k) => times.get(stage).push(stages[k]));
    times.get("frame").push(stages.reduce((sum, time) => sum + time, 0) - quality);
  }
  return new Map([...times].map(([stage, values]) => [stage, percentile50(values)]));
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
const own = await measure([embedder, detector], readPpm(path));
const python = measurePython([embedder, detector], path);
rmSync(folder, { recursive: true });
console.log("stage            Node ms  Python ms  ratio   (median; frame: without quality)");
for (const [stage, time] of own) {
  const reference = python.get(stage);
  console.log(`${stage.padEnd(15)} ${time.toFixed(3).padStart(8)} ${reference.toFixed(3).padStart(10)} ${(time / reference).toFixed(2).padStart(6)}`);
}
process.exit(0);
