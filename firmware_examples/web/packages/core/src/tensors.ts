/**
 * Shapes, types and quantization of a network's inputs and outputs, read from the FlatBuffer of a .tflite file.
 *
 * Runtimes in browsers do not state quantization. The file does, so no client needs an interpreter API for it. The field
 * numbers are those of TensorFlow Lite's schema, version 3.
 */

import { ModelError } from "./errors.js";
import type { TensorInfo, TensorType } from "./network.js";

const TYPES: Readonly<Record<number, TensorType>> = { 0: "float32", 2: "int32", 3: "uint8", 7: "int16", 9: "int8" };
const MAX_TENSORS = 64;
const MAX_AXES = 8;
// Field numbers of Model, SubGraph, Tensor and QuantizationParameters.
const SUBGRAPHS = 2;
const TENSORS = 0;
const INPUTS = 1;
const OUTPUTS = 2;
const SHAPE = 0;
const TYPE = 1;
const NAME = 3;
const QUANTIZATION = 4;
const SCALE = 2;
const ZERO_POINT = 3;
// Field numbers of Model, SignatureDef and TensorMap.
const SIGNATURES = 7;
const SIGNATURE_INPUTS = 0;
const SIGNATURE_OUTPUTS = 1;
const MAP_NAME = 0;
const MAP_INDEX = 1;

/** Tensor of a file, with its name in the file's first signature; runtimes that run signatures use that name. */
export interface FileTensor extends TensorInfo {
  /** Undefined if the file has no signature. */
  readonly signatureName: string | undefined;
}

/**
 * Read the inputs and outputs of a file's first subgraph, in the graph's order.
 *
 * @throws ModelError if the file is not a .tflite, is damaged, or has tensors of other types.
 */
export function readTensors(file: Uint8Array): { readonly inputs: FileTensor[]; readonly outputs: FileTensor[] } {
  try {
    const buffer = new FlatBuffer(new DataView(file.buffer, file.byteOffset, file.byteLength));
    const graph = buffer.items(buffer.root(), SUBGRAPHS, 1)[0];
    if (graph === undefined) throw new ModelError("expected a network with a graph, found none");
    const tensors = buffer.vector(graph, TENSORS);
    const [signature] = buffer.items(buffer.root(), SIGNATURES, 1);
    const infos = (field: number, signatureField: number): FileTensor[] => {
      const names = signature === undefined ? new Map<number, string>() : signatureNames(buffer, signature, signatureField);
      return buffer.integers(graph, field, MAX_TENSORS).map((index) => ({
        ...tensorInfo(buffer, buffer.item(tensors, index)),
        signatureName: names.get(index),
      }));
    };
    return { inputs: infos(INPUTS, SIGNATURE_INPUTS), outputs: infos(OUTPUTS, SIGNATURE_OUTPUTS) };
  } catch (error) {
    if (error instanceof RangeError) throw new ModelError("the network is damaged: a position is outside the file", "copy the file again");
    throw error;
  }
}

function signatureNames(buffer: FlatBuffer, signature: number, field: number): Map<number, string> {
  const maps = buffer.items(signature, field, MAX_TENSORS);
  return new Map(maps.map((map) => [buffer.integer(map, MAP_INDEX), buffer.text(map, MAP_NAME)]));
}

function tensorInfo(buffer: FlatBuffer, tensor: number): TensorInfo {
  const code = buffer.byte(tensor, TYPE);
  const dtype = TYPES[code];
  if (!dtype) throw new ModelError(`expected a float32, int8, uint8, int16 or int32 tensor, found type ${code}`);
  const quantization = buffer.table(tensor, QUANTIZATION);
  const scale = quantization === undefined ? undefined : buffer.floats(quantization, SCALE, 1)[0];
  const zeroPoint = quantization === undefined ? undefined : buffer.longs(quantization, ZERO_POINT, 1)[0];
  return {
    name: buffer.text(tensor, NAME),
    shape: buffer.integers(tensor, SHAPE, MAX_AXES),
    dtype,
    scale: dtype === "float32" ? 0 : (scale ?? 0),
    zeroPoint: dtype === "float32" ? 0 : (zeroPoint ?? 0),
  };
}

/** Reads tables and vectors of a FlatBuffer; positions outside the buffer throw RangeError. */
class FlatBuffer {
  constructor(private readonly view: DataView) {}

  root(): number {
    return this.view.getUint32(0, true);
  }

  /** Return the position of a field; undefined if the table does not have it. */
  private field(table: number, number: number): number | undefined {
    const vtable = table - this.view.getInt32(table, true);
    const entry = 4 + 2 * number;
    if (entry >= this.view.getUint16(vtable, true)) return undefined;
    const offset = this.view.getUint16(vtable + entry, true);
    return offset === 0 ? undefined : table + offset;
  }

  private reference(at: number): number {
    return at + this.view.getUint32(at, true);
  }

  table(table: number, number: number): number | undefined {
    const at = this.field(table, number);
    return at === undefined ? undefined : this.reference(at);
  }

  /** Return position and length of a vector's elements; length 0 if the table does not have it. */
  vector(table: number, number: number): { readonly start: number; readonly length: number } {
    const at = this.table(table, number);
    return at === undefined ? { start: 0, length: 0 } : { start: at + 4, length: this.view.getUint32(at, true) };
  }

  item({ start, length }: { readonly start: number; readonly length: number }, index: number): number {
    if (index < 0 || index >= length) throw new RangeError("index outside a vector");
    return this.reference(start + 4 * index);
  }

  items(table: number, number: number, most: number): number[] {
    const vector = this.vector(table, number);
    return Array.from({ length: Math.min(vector.length, most) }, (_, i) => this.item(vector, i));
  }

  private read(table: number, number: number, most: number, bytes: number, get: (at: number) => number): number[] {
    const { start, length } = this.vector(table, number);
    return Array.from({ length: Math.min(length, most) }, (_, i) => get(start + bytes * i));
  }

  integers(table: number, number: number, most: number): number[] {
    return this.read(table, number, most, 4, (at) => this.view.getInt32(at, true));
  }

  floats(table: number, number: number, most: number): number[] {
    return this.read(table, number, most, 4, (at) => this.view.getFloat32(at, true));
  }

  longs(table: number, number: number, most: number): number[] {
    return this.read(table, number, most, 8, (at) => Number(this.view.getBigInt64(at, true)));
  }

  integer(table: number, number: number): number {
    const at = this.field(table, number);
    return at === undefined ? 0 : this.view.getUint32(at, true);
  }

  byte(table: number, number: number): number {
    const at = this.field(table, number);
    return at === undefined ? 0 : this.view.getInt8(at);
  }

  text(table: number, number: number): string {
    const { start, length } = this.vector(table, number);
    let text = "";
    for (let i = 0; i < Math.min(length, 256); i++) text += String.fromCharCode(this.view.getUint8(start + i));
    return text;
  }
}
