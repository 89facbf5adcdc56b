/** Golden vectors: outputs of a network for inputs that any device can generate from a seed. */

import type { InputContract } from "./contract.js";
import { channelsOf } from "./contract.js";
import { Encoder } from "./encode.js";
import { ModelCardError } from "./errors.js";
import { image, type Image } from "./image.js";
import { base64, JsonFields, jsonObject, list, number, text, wholeNumber } from "./json_fields.js";
import { type Network, type TensorData, typeOf } from "./network.js";
import { digest } from "./sha256.js";

const GENERATOR = "smooth-fields/1";
const MAX_VECTORS = 16;
const CELLS = 4;
/** Outputs with more values are reduced to every n-th value, so that at most this many remain. */
const MAX_GOLDEN_VALUES = 256;
const BYTES = { int8: 1, uint8: 1, int16: 2, float32: 4 } as const;

type GoldenType = keyof typeof BYTES;

/** Input and expected output of one test run. */
export interface GoldenVector {
  readonly seed: number;
  /** SHA-256 of the generated image, hex. */
  readonly pixelsSha256: string;
  /** SHA-256 of the input tensor, hex. */
  readonly inputSha256: string;
  readonly output: TensorData;
}

/** Expected outputs of one network, and the tolerance for each runtime. */
export interface GoldenVectors {
  readonly generator: string;
  readonly runtime: string;
  readonly kernels: string;
  readonly dtype: GoldenType;
  /** Largest difference for the same runtime and kernels, and for others: LSB, or a share of the largest value if float. */
  readonly tolerance: { readonly same: number; readonly other: number };
  readonly vectors: readonly GoldenVector[];
}

/**
 * Generate one image: random colors on a grid of 5x5 points with bilinear interpolation, in integer arithmetic.
 *
 * @param seed 0 or more, below 2^31.
 */
export function smoothField(height: number, width: number, channels: number, seed: number): Image {
  const side = CELLS + 1;
  const grid = new Int32Array(side * side * channels);
  let state = seed;
  for (let i = 0; i < grid.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    grid[i] = (state >> 16) & 255;
  }
  const result = image(height, width, channels);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const placeY = Math.floor((y * CELLS * 256) / height);
    const fy = placeY & 255;
    for (let x = 0; x < width; x++) {
      const placeX = Math.floor((x * CELLS * 256) / width);
      const fx = placeX & 255;
      const corner = ((placeY >> 8) * side + (placeX >> 8)) * channels;
      for (let c = 0; c < channels; c++) {
        const i = corner + c;
        const above = grid[i]! * (256 - fx) + grid[i + channels]! * fx;
        const below = grid[i + side * channels]! * (256 - fx) + grid[i + (side + 1) * channels]! * fx;
        result.data[to++] = (above * (256 - fy) + below * fy) >> 16;
      }
    }
  }
  return result;
}

/** Result of a check against golden vectors. */
export interface GoldenCheck {
  readonly verdict: "right" | "constant" | "off" | "other input" | "other output" | "unknown";
  /** Description of the result; no capital at the start, no full stop. */
  readonly message: string;
}

/**
 * Compare one output of a network with the golden vectors of a card.
 *
 * @param position Position of the output.
 * @throws ModelContractError if the network does not match the contract.
 * @throws ModelError if the runtime cannot run the network.
 */
export async function checkGolden(
  network: Network,
  contract: InputContract,
  golden: GoldenVectors,
  position = 0,
): Promise<GoldenCheck> {
  if (golden.generator !== GENERATOR) {
    return { verdict: "unknown", message: `cannot generate the inputs of '${golden.generator}', only those of '${GENERATOR}'` };
  }
  const [input, output] = [network.inputs[0], network.outputs[position]];
  if (!input || !output) return { verdict: "other output", message: `expected an output ${position}, found none` };
  const encoder = new Encoder(contract, input);
  const outputs: TensorData[] = [];
  for (const vector of golden.vectors) {
    const pixels = smoothField(contract.height, contract.width, channelsOf(contract.color), vector.seed);
    if (digest(encoder.encode(pixels)) !== vector.inputSha256) {
      return { verdict: "other input", message: "the input tensor differs from that on the machine that made the file" };
    }
    const values = (await network.run([encoder.codes]))[position]!;
    outputs.push(reduced(values, network.outputs.length > 1));
  }
  return compareGolden(golden, outputs, network);
}

function reduced(values: TensorData, several: boolean): TensorData {
  const step = several ? Math.ceil(values.length / MAX_GOLDEN_VALUES) : 1;
  return values.filter((_, i) => i % step === 0);
}

/** Compare outputs, one per vector, with the expected ones. */
export function compareGolden(
  golden: GoldenVectors,
  outputs: readonly TensorData[],
  { runtime, kernels }: Pick<Network, "runtime" | "kernels">,
): GoldenCheck {
  const expected = golden.vectors.map((vector) => vector.output);
  const other = outputs.find((values, i) => values.length !== expected[i]!.length || typeOf(values) !== golden.dtype);
  if (other) {
    return {
      verdict: "other output",
      message: `expected ${expected[0]!.length} values of ${golden.dtype}, found ${other.length} of ${typeOf(other)}`,
    };
  }
  const count = outputs.length;
  if (count > 1 && allEqual(outputs) && !allEqual(expected)) {
    return { verdict: "constant", message: `the same embedding for ${count} different inputs` };
  }
  const off = outputs.map((values, i) => difference(values, expected[i]!, golden.dtype));
  const same = runtime === golden.runtime && kernels === golden.kernels;
  const allowed = golden.tolerance[same ? "same" : "other"];
  const worst = Math.max(...off);
  const unit = golden.dtype === "float32" ? "of the largest value" : "LSB";
  const atMost = `off by ${worst.toPrecision(4)}, allowed ${allowed} ${unit}`;
  if (!(worst <= allowed)) {
    const wrong = off.filter((value) => !(value <= allowed)).length;
    return { verdict: "off", message: `${wrong} of ${count} answers are wrong: ${atMost}` };
  }
  return { verdict: "right", message: worst === 0 ? `${count} of ${count} answers exact` : `${count} of ${count} answers right, ${atMost}` };
}

function allEqual(arrays: readonly TensorData[]): boolean {
  return arrays.every((values) => values.every((value, i) => value === arrays[0]![i]));
}

/** Return the largest difference, infinite for a value that is not finite. */
function difference(values: TensorData, expected: TensorData, dtype: GoldenType): number {
  let off = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const value = Math.abs(values[i]! - expected[i]!);
    if (!Number.isFinite(value)) return Infinity;
    off = Math.max(off, value);
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return dtype === "float32" ? off / Math.max(largest, 2 ** -126) : off;
}

/** Read the vectors from a card's `golden` field; throws ModelCardError if a field is missing or malformed. */
export function parseGolden(value: unknown): GoldenVectors {
  const fields = new JsonFields(value, "golden vectors");
  const dtype = fields.read("dtype", text) as GoldenType;
  if (!Object.hasOwn(BYTES, dtype)) {
    throw new ModelCardError(`golden vectors: expected an output dtype of ${Object.keys(BYTES).join(", ")}, found '${dtype}'`);
  }
  const vectors = fields.read("vectors", (items) => list(items).slice(0, MAX_VECTORS + 1).map((item) => parseVector(item, dtype)));
  if (vectors.length < 1 || vectors.length > MAX_VECTORS) {
    throw new ModelCardError(`golden vectors: expected 1..${MAX_VECTORS} vectors, found ${vectors.length}`);
  }
  const lengths = new Set(vectors.map((vector) => vector.output.length));
  if (lengths.size !== 1 || lengths.has(0)) throw new ModelCardError("golden vectors: expected outputs of one length, found several or none");
  const tolerance = new JsonFields(fields.read("tolerance", jsonObject), "golden vectors, tolerance");
  return {
    generator: fields.read("generator", text),
    runtime: fields.read("runtime", text),
    kernels: fields.read("kernels", text),
    dtype,
    tolerance: { same: tolerance.read("same", tolerated), other: tolerance.read("other", tolerated) },
    vectors,
  };
}

function tolerated(value: unknown): number {
  const limit = number(value);
  if (!(limit >= 0)) throw new TypeError(`${limit} is not a tolerance of 0 or more`);
  return limit;
}

function parseVector(value: unknown, dtype: GoldenType): GoldenVector {
  const vector = new JsonFields(value, "golden vectors");
  const seed = vector.read("seed", wholeNumber);
  if (seed < 0 || seed >= 2 ** 31) throw new ModelCardError(`golden vectors: expected a seed of 0 or more, below 2^31, found ${seed}`);
  return {
    seed,
    pixelsSha256: vector.read("pixels_sha256", text),
    inputSha256: vector.read("input_sha256", text),
    output: tensorOf(vector.read("output", base64), dtype),
  };
}

function tensorOf(bytes: Uint8Array, dtype: GoldenType): TensorData {
  if (bytes.length % BYTES[dtype]) throw new ModelCardError(`golden vectors: expected outputs of ${dtype}, found ${bytes.length} bytes`);
  const { buffer } = bytes.slice();
  if (dtype === "float32") return new Float32Array(buffer);
  if (dtype === "int16") return new Int16Array(buffer);
  return dtype === "int8" ? new Int8Array(buffer) : new Uint8Array(buffer);
}
