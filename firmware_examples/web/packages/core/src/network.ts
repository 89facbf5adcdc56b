/** Values of a tensor. */
export type TensorData = Int8Array | Uint8Array | Int16Array | Int32Array | Float32Array;

/** Type of a tensor, named as in Python. */
export type TensorType = "int8" | "uint8" | "int16" | "int32" | "float32";

/** Shape, type and quantization of one tensor: real = scale * (code - zeroPoint). */
export interface TensorInfo {
  readonly name: string;
  /** Shape with the batch axis, which is 1. */
  readonly shape: readonly number[];
  readonly dtype: TensorType;
  /** Quantization scale; 0 for a float tensor, and 0 if the runtime does not state it. */
  readonly scale: number;
  readonly zeroPoint: number;
}

/**
 * Runs a network: input codes in, output codes out. Everything else in this package is independent of the runtime, so
 * an implementation of this interface is all that another runtime needs.
 */
export interface Network {
  /** Runtime and version, such as `litert.js 2.5.3`. Golden vectors have a tolerance for each runtime. */
  readonly runtime: string;
  /** Kernels that compute the outputs: `xnnpack`, `webgpu` or a delegate's name. */
  readonly kernels: string;
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /**
   * Run the network once.
   *
   * @param codes One array per input, of the input's type and number of values. Not kept.
   * @returns One array per output, in the order of `outputs`; valid until the next run.
   * @throws ModelError if the runtime cannot run the network.
   */
  run(codes: readonly TensorData[]): Promise<readonly TensorData[]>;
  /** Release the runtime's memory. */
  close(): void;
}

const ARRAYS = {
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  int32: Int32Array,
  float32: Float32Array,
} as const;

/** Smallest and largest code of each integer type. */
export const LIMITS: Readonly<Record<Exclude<TensorType, "float32">, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  int32: [-2147483648, 2147483647],
};

/** Allocate the values of a tensor. */
export function allocate(dtype: TensorType, length: number): TensorData {
  return new ARRAYS[dtype](length);
}

/** Return the type of a tensor's values. */
export function typeOf(values: TensorData): TensorType {
  if (values instanceof Float32Array) return "float32";
  if (values instanceof Int8Array) return "int8";
  if (values instanceof Uint8Array) return "uint8";
  return values instanceof Int16Array ? "int16" : "int32";
}

/** Return the number of values of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1);
}
