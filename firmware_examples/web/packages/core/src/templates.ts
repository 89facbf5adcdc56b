/** Templates in memory: quantization of embeddings, and exact scores of a probe against them. */

import { InputError } from "./errors.js";
import { roundEven } from "./rounding.js";

const PROBE_MAX = 32_767;

/** Stored templates of a gallery. */
export interface Templates {
  /** D, numbers per template. */
  readonly dimension: number;
  /** M rows of D numbers: integers -127..127, or the numbers of float16 rows. */
  readonly rows: Int8Array | Float32Array;
  /** Reciprocal lengths of the rows, M numbers. */
  readonly scales: Float32Array;
  /** Index of each row's subject, M numbers. */
  readonly owners: Uint32Array;
}

/** A probe, quantized to 16-bit integers, so that every sum of products is exact on any machine. */
export interface Probe {
  readonly integers: Float64Array;
  /** Euclidean length of `integers`. */
  readonly length: number;
}

/** A subject and the score of its best template. */
export interface Leader {
  readonly subject: number;
  /** Cosine. */
  readonly score: number;
}

/**
 * Check an embedding and normalize it to length 1.
 *
 * @param embedding D finite numbers, any length.
 * @throws InputError if the dimension differs, a number is not finite, or all are zero.
 */
export function unitVector(embedding: Float32Array, dimension: number): Float64Array {
  if (!(embedding instanceof Float32Array) || embedding.length !== dimension) {
    throw new InputError(`expected an embedding of ${dimension} float32 numbers, found ${embedding.length}`);
  }
  let squares = 0;
  for (const value of embedding) squares += value * value;
  if (!(squares > 0 && squares < Infinity)) {
    throw new InputError("expected an embedding of finite numbers other than zero, found another one");
  }
  const norm = Math.sqrt(squares);
  return Float64Array.from(embedding, (value) => value / norm);
}

/**
 * Quantize a unit vector to a stored template.
 *
 * @param unit D numbers, length 1, transformed if the gallery has a transform.
 * @returns The row, D integers -127..127, and its scale: the reciprocal of its length.
 */
export function quantize(unit: Float64Array): { readonly row: Int8Array; readonly scale: number } {
  const factor = 127 / peakOf(unit);
  const row = Int8Array.from(unit, (value) => roundEven(value * factor));
  let squares = 0;
  for (const value of row) squares += value * value;
  return { row, scale: Math.fround(1 / Math.sqrt(squares)) };
}

/** Quantize a unit vector for comparison; transformed as the templates are. */
export function quantizeProbe(unit: Float64Array): Probe {
  const factor = PROBE_MAX / peakOf(unit);
  const integers = unit.map((value) => roundEven(value * factor));
  let squares = 0;
  for (const value of integers) squares += value * value;
  return { integers, length: Math.sqrt(squares) };
}

function peakOf(unit: Float64Array): number {
  let peak = 0;
  for (const value of unit) peak = Math.max(peak, Math.abs(value));
  return peak;
}

/**
 * Compute the score of each eligible subject's best template.
 *
 * @param isEligible Returns true for the subjects to compare.
 * @returns Subjects in descending order of score, then ascending order of index.
 */
export function leadersOf(templates: Templates, probe: Probe, isEligible: (subject: number) => boolean): Leader[] {
  const { dimension, rows, scales, owners } = templates;
  const { integers, length } = probe;
  const best = new Map<number, number>();
  for (let row = 0; row < owners.length; row++) {
    const owner = owners[row]!;
    if (!isEligible(owner)) continue;
    const start = row * dimension;
    let dot = 0;
    for (let i = 0; i < dimension; i++) dot += rows[start + i]! * integers[i]!;
    const score = (dot * scales[row]!) / length;
    const known = best.get(owner);
    if (known === undefined || score > known) best.set(owner, score);
  }
  return Array.from(best, ([subject, score]) => ({ subject, score })).sort(
    (a, b) => b.score - a.score || a.subject - b.subject,
  );
}

/** Compute the cosine of two vectors of any length other than 0. */
export function cosine(first: ArrayLike<number>, second: ArrayLike<number>): number {
  let dot = 0;
  let squares = 0;
  let others = 0;
  for (let i = 0; i < first.length; i++) {
    dot += first[i]! * second[i]!;
    squares += first[i]! ** 2;
    others += second[i]! ** 2;
  }
  return dot / Math.sqrt(squares * others);
}
