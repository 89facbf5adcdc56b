/** Cards: what a model file states about its network. The same file loads in any TFLite runtime. */

import type { Color, InputContract, Point } from "./contract.js";
import { channelsOf } from "./contract.js";
import type { InputTensor } from "./encode.js";
import { ModelCardError, ModelError } from "./errors.js";
import { type GoldenVectors, parseGolden } from "./golden.js";
import { JsonFields, jsonObject, list, number, shown, text, wholeNumber } from "./json_fields.js";
import { LIMITS, type TensorType } from "./network.js";
import { type OperatingPoint, parsePoint } from "./operating_point.js";
import { digest } from "./sha256.js";
import { CONVERT_HINT, readMember } from "./zip.js";

export const MODEL_CARD_SCHEMA = "edge-sdk/model-card/1";
export const NETWORK_CARD_SCHEMA = "edge-sdk/network-card/1";
const CARD_NAME = "model-card.json";
const MAX_CARD_BYTES = 1 << 20;
const MAX_DEPTH = 16;
const MAX_DIMENSION = 0xffff;
const MAX_OUTPUTS = 64;
const MAX_REAL = 3e38;
const TASKS = ["face detector", "presentation attack detector", "none"];

/** Card of an embedder of images. */
export interface ModelCard {
  readonly kind: "embedder";
  readonly name: string;
  readonly version: string;
  readonly target: string;
  readonly precision: string;
  /** Length D of the embedding. */
  readonly dimension: number;
  readonly input: InputContract;
  /** Type and quantization of the input tensor; undefined in cards that do not state it. */
  readonly tensor: InputTensor | undefined;
  /** SHA-256 of the FlatBuffer before the archive, hex. */
  readonly networkSha256: string;
  /** Quantization of the output tensor; scale 0 if it is float. */
  readonly outputScale: number;
  readonly outputZeroPoint: number;
  /** Thresholds with their evidence, measured with exactly this file. */
  readonly operatingPoints: readonly OperatingPoint[];
  readonly golden: GoldenVectors | undefined;
}

/** Card of a network without an embedding, such as a face detector. */
export interface NetworkCard {
  readonly kind: "network";
  readonly name: string;
  readonly version: string;
  /** `face detector`, `presentation attack detector` or `none`. */
  readonly task: string;
  /** Decoding method of the outputs, such as `yunet`. */
  readonly method: string;
  readonly precision: string;
  readonly input: InputContract;
  readonly tensor: InputTensor | undefined;
  /** Names of the output tensors, in the network's order. */
  readonly outputs: readonly string[];
  readonly networkSha256: string;
  readonly parameters: ReadonlyMap<string, number>;
  /** Golden vectors of each output by name; may be empty. */
  readonly golden: ReadonlyMap<string, GoldenVectors>;
}

/** Card of any kind; `kind` distinguishes them. */
export type Card = ModelCard | NetworkCard;

/** A model file in memory. */
export interface ModelFile {
  readonly bytes: Uint8Array;
  readonly card: Card;
}

/**
 * Read a model file from edge-convert and check its network against the digest in its card.
 *
 * @param bytes Content of the .tflite file.
 * @param sha256 Expected digest of the whole file, hex; checked first. Undefined skips the check.
 * @throws ModelError if the file is altered or not a .tflite, or its network does not match its card.
 * @throws ModelCardError if it has no card, or a malformed one.
 */
export function openModelFile(bytes: Uint8Array, sha256?: string): ModelFile {
  if (sha256 !== undefined && digest(bytes) !== sha256.trim().toLowerCase()) {
    throw new ModelError(`expected a file with SHA-256 ${sha256}, found ${digest(bytes)}`, "copy the file again");
  }
  const member = isModel(bytes) ? readMember(bytes, CARD_NAME, MAX_CARD_BYTES) : undefined;
  if (!member) throw new ModelCardError("expected a .tflite file with a model card inside, found none", CONVERT_HINT);
  const card = parseCard(member.content);
  if (digest(bytes.subarray(0, member.archiveStart)) !== card.networkSha256) {
    throw new ModelError("the network does not match its card", "the file is damaged or was edited; copy it again or convert again");
  }
  return { bytes, card };
}

function isModel(bytes: Uint8Array): boolean {
  return String.fromCharCode(...bytes.subarray(4, 8)) === "TFL3";
}

declare class TextDecoder {
  constructor(label: string, options: { fatal: boolean });
  decode(bytes: Uint8Array): string;
}

/**
 * Read a card of any kind.
 *
 * @param data UTF-8 JSON.
 * @throws ModelCardError if the data are not JSON, have an unknown schema, or a field is missing or malformed.
 */
export function parseCard(data: Uint8Array | string): Card {
  if (data.length > MAX_CARD_BYTES) throw new ModelCardError(`model card: expected at most ${MAX_CARD_BYTES} bytes, found ${data.length}`);
  let value: unknown;
  try {
    value = JSON.parse(typeof data === "string" ? data : new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch (error) {
    throw new ModelCardError(`model card: expected JSON, but it cannot be parsed: ${error instanceof Error ? error.message : String(error)}`);
  }
  checkValues(value, 0);
  const schema = typeof value === "object" && value !== null ? (value as { schema?: unknown }).schema : undefined;
  if (schema === MODEL_CARD_SCHEMA) return modelCard(new JsonFields(value, "model card"));
  if (schema === NETWORK_CARD_SCHEMA) return networkCard(new JsonFields(value, "network card"));
  throw new ModelCardError(
    `model card: expected schema ${MODEL_CARD_SCHEMA}, found ${shown(schema)}`,
    "it was made by another version of edge-convert; convert it again or update this client",
  );
}

/** Refuse values that are not valid JSON in UTF-8: numbers beyond float64, lone surrogates; and deep nesting. */
function checkValues(value: unknown, depth: number): void {
  if (typeof value === "number" && !Number.isFinite(value)) throw new ModelCardError("model card: expected finite numbers, found infinity");
  if (typeof value === "string" && /\p{Surrogate}/u.test(value)) throw new ModelCardError("model card: expected UTF-8 text, found a lone surrogate");
  if (typeof value !== "object" || value === null) return;
  if (depth >= MAX_DEPTH) throw new ModelCardError(`model card: expected at most ${MAX_DEPTH} levels of nesting, found more`);
  for (const [key, item] of Object.entries(value)) {
    checkValues(key, depth);
    checkValues(item, depth + 1);
  }
}

/** Return the card of an embedder; throws ModelCardError for another kind. */
export function embedderCard(card: Card): ModelCard {
  if (card.kind !== "embedder") throw new ModelCardError(`expected an embedder, found a card of task '${card.task}'`);
  return card;
}

/** Return the card of a face detector; throws ModelCardError for another kind. */
export function detectorCard(card: Card): NetworkCard {
  if (card.kind === "network" && card.task === "face detector") return card;
  throw new ModelCardError(`expected a face detector, found ${card.kind === "network" ? `a card of task '${card.task}'` : "an embedder"}`);
}

function modelCard(card: JsonFields): ModelCard {
  const embedding = new JsonFields(card.read("embedding", jsonObject), "model card, embedding");
  const dimension = embedding.read("dimension", wholeNumber);
  if (dimension < 2 || dimension > MAX_DIMENSION) {
    throw new ModelCardError(`model card: expected an embedding of 2..${MAX_DIMENSION} values, found ${dimension}`);
  }
  const outputScale = embedding.read("scale", number);
  if (!(outputScale >= 0)) throw new ModelCardError(`model card: expected an output scale of 0 or more, found ${outputScale}`);
  return {
    kind: "embedder",
    name: card.read("name", text),
    version: card.read("version", text),
    target: card.read("target", text),
    precision: card.read("precision", text),
    dimension,
    input: card.read("input", parseContract),
    tensor: card.read("input", parseTensor),
    networkSha256: card.read("network_sha256", text),
    outputScale,
    outputZeroPoint: embedding.read("zero_point", wholeNumber),
    operatingPoints: card.readOr("operating_points", (value) => list(value).map(parsePoint), []),
    golden: card.optional("golden", parseGolden),
  };
}

function networkCard(card: JsonFields): NetworkCard {
  const task = card.read("task", text);
  const outputs = card.read("outputs", (value) => list(value).map(text));
  if (!TASKS.includes(task)) throw new ModelCardError(`network card: expected one of the tasks ${TASKS.join(", ")}, found '${task}'`);
  if (outputs.length < 1 || outputs.length > MAX_OUTPUTS || new Set(outputs).size !== outputs.length) {
    throw new ModelCardError(`network card: expected 1 to ${MAX_OUTPUTS} outputs with different names, found ${outputs.join(", ")}`);
  }
  const golden = card.readOr("golden", goldenOfOutputs, new Map<string, GoldenVectors>());
  if (golden.size > 0 && [...golden.keys()].sort().join("\n") !== [...outputs].sort().join("\n")) {
    throw new ModelCardError(`network card: expected golden vectors of ${outputs.join(", ")}, found ${[...golden.keys()].join(", ")}`);
  }
  return {
    kind: "network",
    name: card.read("name", text),
    version: card.readOr("version", text, ""),
    task,
    method: card.read("method", text),
    precision: card.read("precision", text),
    input: card.read("input", parseContract),
    tensor: card.read("input", parseTensor),
    outputs,
    networkSha256: card.read("network_sha256", text),
    parameters: card.readOr("parameters", numbers, new Map<string, number>()),
    golden,
  };
}

function goldenOfOutputs(value: unknown): Map<string, GoldenVectors> {
  return new Map(Object.entries(jsonObject(value)).map(([name, vectors]) => [name, parseGolden(vectors)]));
}

function numbers(value: unknown): Map<string, number> {
  return new Map(Object.entries(jsonObject(value)).map(([name, item]) => [name, number(item)]));
}

/** Read the input contract of a network that takes images; throws ModelCardError if a field is missing or malformed. */
export function parseContract(value: unknown): InputContract {
  const fields = new JsonFields(value, "input");
  if (fields.has("kind")) {
    throw new ModelCardError("input kind: expected no kind, for images, found a network of arrays", "this client runs networks of images");
  }
  const color = fields.read("color", text) as Color;
  if (!["rgb", "bgr", "gray"].includes(color)) throw new ModelCardError(`input color: expected rgb, bgr or gray, found '${color}'`);
  const [height, width] = [side(fields, "height"), side(fields, "width")];
  const channels = channelsOf(color);
  const [mean, scale] = [perChannel(fields, "mean", channels), perChannel(fields, "scale", channels)];
  if (Math.min(...scale) <= 0) throw new ModelCardError(`input scale: expected positive numbers, found ${scale.join(", ")}`);
  const ends = mean.flatMap((m, i) => [(0 - m) / scale[i]!, (255 - m) / scale[i]!]);
  if (!ends.every((end) => Math.abs(end) <= MAX_REAL)) {
    throw new ModelCardError(`input scale: expected values within the range of float32, found ${scale.join(", ")}`);
  }
  return { height, width, color, mean, scale, alignment: fields.optional("alignment", points) };
}

function side(fields: JsonFields, name: string): number {
  const pixels = fields.read(name, wholeNumber);
  if (pixels < 8 || pixels > 1024) throw new ModelCardError(`input ${name}: expected a whole number of pixels in 8..1024, found ${pixels}`);
  return pixels;
}

function perChannel(fields: JsonFields, name: string, channels: number): readonly number[] {
  const values = fields.read(name, (value) => (Array.isArray(value) ? value.map(number) : Array(channels).fill(number(value)) as number[]));
  if (values.length !== channels) throw new ModelCardError(`input ${name}: expected ${channels} finite numbers, found ${values.length}`);
  return values;
}

function points(value: unknown): Point[] {
  const rows = list(new JsonFields(value, "input alignment").read("points", list)).map((point) => list(point).map(number));
  if (rows.length !== 5 || rows.some((point) => point.length !== 2)) {
    throw new ModelCardError(`input alignment: expected 5 points (x, y), found ${shown(rows)}`);
  }
  return rows as unknown as Point[];
}

function parseTensor(value: unknown): InputTensor | undefined {
  return new JsonFields(value, "input").optional("tensor", (stated) => {
    const fields = new JsonFields(stated, "input tensor");
    const dtype = fields.read("dtype", text) as TensorType;
    const scale = fields.readOr("scale", number, 0);
    const zeroPoint = fields.readOr("zero_point", wholeNumber, 0);
    const integer = dtype !== "float32" && Object.hasOwn(LIMITS, dtype) && dtype !== "int32";
    if (dtype !== "float32" && !(integer && scale > 0)) {
      throw new ModelCardError(`input tensor: expected float32, or int8, uint8 or int16 with a scale above 0, found ${dtype} scale ${scale}`);
    }
    return { dtype, scale, zeroPoint };
  });
}
