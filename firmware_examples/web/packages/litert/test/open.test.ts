import { digest, type InputContract, type Network, smoothField, Encoder, type TensorData } from "@edge-sdk/core";
import { expect, test } from "vitest";

import { modelFile as packed } from "../../core/test/archive.js";
import { openNetwork } from "../src/index.js";

const contract: InputContract = { height: 16, width: 16, color: "rgb", mean: [0, 0, 0], scale: [1, 1, 1] };
const input = { name: "image", shape: [1, 16, 16, 3], dtype: "uint8", scale: 1, zeroPoint: 0 } as const;
const output = { name: "embedding", shape: [1, 4], dtype: "uint8", scale: 0.1, zeroPoint: 128 } as const;

/** A network without weights: every fourth code, and an error for a wrong processor. */
function fakeNetwork(error = 0): Network & { closed: boolean } {
  return {
    runtime: "fake 1",
    kernels: "fake",
    inputs: [input],
    outputs: [output],
    closed: false,
    run: ([codes]) => Promise.resolve([Uint8Array.from([0, 4, 8, 12], (i) => codes![i]! + error)]),
    close() {
      this.closed = true;
    },
  };
}

async function modelFile(hasGolden = true): Promise<Uint8Array> {
  const network = new Uint8Array(64);
  network.set(Buffer.from("TFL3"), 4);
  const encoder = new Encoder(contract, input);
  const vectors = [];
  for (const seed of [0, 1]) {
    const pixels = smoothField(16, 16, 3, seed);
    const codes = encoder.encode(pixels);
    const [answer] = await fakeNetwork().run([codes]);
    vectors.push({
      seed,
      pixels_sha256: digest(pixels.data),
      input_sha256: digest(codes),
      output: Buffer.from(answer as Uint8Array).toString("base64"),
    });
  }
  const card = {
    schema: "edge-sdk/model-card/1",
    name: "fake",
    version: "1",
    target: "web",
    precision: "int8",
    input: { ...contract, tensor: { dtype: "uint8", scale: 1, zero_point: 0 } },
    embedding: { dimension: 4, normalization: "l2 on the host", scale: 0.1, zero_point: 128 },
    network_sha256: digest(network),
    golden: hasGolden ? { generator: "smooth-fields/1", runtime: "r", kernels: "k", dtype: "uint8", tolerance: { same: 0, other: 1 }, vectors } : null,
  };
  return packed(network, Buffer.from(JSON.stringify(card)));
}

test("the first processor with the right answers runs the network", async () => {
  const opened = await openNetwork(await modelFile(), { accelerators: ["webgpu", "wasm"], compile: async () => fakeNetwork() });
  expect(opened.accelerator).toBe("webgpu");
  expect(opened.golden.map(({ message }) => message)).toEqual(["2 of 2 answers exact"]);
});

test("a processor with wrong answers is replaced and closed", async () => {
  const wrong = fakeNetwork(9);
  const opened = await openNetwork(await modelFile(), {
    accelerators: ["webgpu", "wasm"],
    compile: async (_, accelerator) => (accelerator === "webgpu" ? wrong : fakeNetwork()),
  });
  expect(opened.accelerator).toBe("wasm");
  expect(opened.refused.get("webgpu")).toContain("answers are wrong: off by 9.000, allowed 1 LSB");
  expect(wrong.closed).toBe(true);
});

test("only wasm runs a network whose card has no golden vectors", async () => {
  const opened = await openNetwork(await modelFile(false), { accelerators: ["webgpu", "wasm"], compile: async () => fakeNetwork() });
  expect(opened.accelerator).toBe("wasm");
  expect(opened.refused.get("webgpu")).toContain("no golden vectors");
});

test("no network is returned if every processor gives wrong answers", async () => {
  const opening = openNetwork(await modelFile(), { compile: async () => fakeNetwork(9) });
  await expect(opening).rejects.toThrow("no processor gives the card's answers: wasm: 2 of 2 answers are wrong");
});

test("a network that gives one answer for all inputs is refused", async () => {
  const constant = { ...fakeNetwork(), run: (): Promise<TensorData[]> => Promise.resolve([new Uint8Array(4)]) };
  const opening = openNetwork(await modelFile(), { compile: async () => constant });
  await expect(opening).rejects.toThrow("the same embedding for 2 different inputs");
});

test("a network that was altered is refused before it is compiled", async () => {
  const bytes = await modelFile();
  bytes[20] = 1;
  const opening = openNetwork(bytes, { compile: () => expect.fail("compiled") });
  await expect(opening).rejects.toThrow("the network does not match its card");
});
