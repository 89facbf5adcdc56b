import { existsSync, readdirSync, readFileSync } from "node:fs";

import { embedderCard, Embedder, openModelFile, readTensors, smoothField } from "@edge-sdk/core";
import { beforeAll, describe, expect, test } from "vitest";

import { LiteRtNetwork, openNetwork } from "../src/index.js";
import { loadLiteRtInNode } from "../src/node.js";

const FOLDER = process.env.CLIENT_NETWORKS ?? "";
const TRANSFERRED = ["float32", "uint8", "int32"];

function files(): string[] {
  const names = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => name.endsWith(".tflite")) : [];
  if (names.length === 0 && process.env.CI === "true") throw new Error(`expected networks in CLIENT_NETWORKS, found none in '${FOLDER}'`);
  return names.sort();
}

const read = (name: string) => new Uint8Array(readFileSync(`${FOLDER}/${name}`));
const isTransferred = (name: string) => {
  const { inputs, outputs } = readTensors(read(name));
  return [...inputs, ...outputs].every(({ dtype }) => TRANSFERRED.includes(dtype));
};

describe.skipIf(files().length === 0)("networks of CLIENT_NETWORKS", () => {
  beforeAll(loadLiteRtInNode);

  test.each(files().filter(isTransferred))("%s gives its golden answers", async (name) => {
    const { network, card, golden } = await openNetwork(read(name));
    expect(golden.every(({ verdict }) => verdict === "right")).toBe(true);
    const integer = network.outputs.every(({ dtype }) => dtype !== "float32");
    if (integer) expect(golden.map(({ message }) => message).join()).not.toContain("off by");
    if (card.kind === "embedder") {
      const embedder = new Embedder(network, embedderCard(card));
      const embedding = await embedder.embed(smoothField(120, 120, 3, 7));
      expect(embedding.reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(1, 5);
    }
    network.close();
  });

  test.each(files().filter((name) => !isTransferred(name)))("%s is refused with advice", async (name) => {
    expect(openModelFile(read(name)).card.name).toBeTruthy();
    await expect(LiteRtNetwork.open(read(name))).rejects.toThrow("which LiteRT.js transfers");
  });
});
