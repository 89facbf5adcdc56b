import { createHash } from "node:crypto";

import { describe, expect, test } from "vitest";

import { digest, ModelCardError, openModelFile, parseCard } from "../src/index.js";
import { modelFile } from "./archive.js";

const network = Buffer.concat([Buffer.from("\0\0\0\0TFL3"), Buffer.alloc(40)]);
const card = {
  schema: "edge-sdk/model-card/1",
  name: "fake",
  version: "1",
  target: "web",
  precision: "int8",
  input: { height: 96, width: 96, color: "rgb", mean: [0, 0, 0], scale: [1, 1, 1] },
  embedding: { dimension: 4, normalization: "l2 on the host", scale: 0.1, zero_point: 128 },
  network_sha256: digest(network),
};

const json = (changes: object = {}) => Buffer.from(JSON.stringify({ ...card, ...changes }));

describe("a card in a model file", () => {
  test.each([false, true])("is read (deflated: %s)", (deflated) => {
    expect(openModelFile(modelFile(network, json(), { deflated })).card).toMatchObject({ kind: "embedder", name: "fake", dimension: 4 });
  });

  test.each([
    ["no archive", network, "with a model card inside, found none"],
    ["two cards", modelFile(network, json(), { names: ["model-card.json", "model-card.json"] }), "expected one model-card.json"],
    ["another checksum", modelFile(network, json(), { crc: 1 }), "its checksum differs"],
    ["another network", modelFile(network, json({ network_sha256: "00" })), "the network does not match its card"],
  ])("is refused: %s", (_, file, message) => {
    expect(() => openModelFile(file)).toThrow(message);
  });

  test("a cut file is refused, wherever it is cut", () => {
    const file = modelFile(network, json(), { deflated: true });
    for (let length = 0; length < file.length; length++) expect(() => openModelFile(file.subarray(0, length))).toThrow(ModelCardError);
  });
});

test.each([
  ["another schema", { schema: "edge-sdk/model-card/2" }, "expected schema"],
  ["no name", { name: undefined }, "expected the field 'name', found none"],
  ["a scale of 0", { input: { ...card.input, scale: [1, 0, 1] } }, "expected positive numbers"],
  ["arrays", { input: { kind: "array" } }, "this client runs networks of images|found a network of arrays"],
  ["an unsupported claim", { operating_points: [{ threshold: 0.5, fmr: 1e-3, fnmr: 0, mated_trials: 1, non_mated_trials: 10 }] }, "rule of three"],
])("a card with %s is refused", (_, changes, message) => {
  expect(() => parseCard(json(changes))).toThrow(new RegExp(message));
});

test("SHA-256 agrees with Node.js at every length of a block", () => {
  for (let length = 0; length < 200; length++) {
    const bytes = Buffer.alloc(length, length);
    expect(digest(bytes)).toBe(createHash("sha256").update(bytes).digest("hex"));
  }
});
