/**
 * Measures of facial detail in an aligned crop: covered eyes, a covered mouth, blur in one direction, one-sided light.
 * They are relative to the brightness of the face: multiplying all pixels by a factor changes nothing.
 */

import { InputError } from "./errors.js";
import type { Image } from "./image.js";

const SIDE = 112;
/** Rows and columns of the luma, which smoothing makes 2 pixels smaller. */
const SMOOTH = SIDE - 2;
/** First row, last row, first column, last column (exclusive) of parts of the smoothed luma. */
type Part = readonly [number, number, number, number];
const FACE: Part = [29, 105, 25, 85];
const EYES: readonly Part[] = [[45, 57, 29, 46], [45, 57, 64, 81]];
const MOUTH: Part = [83, 101, 37, 74];
const INNER: Part = [27, 107, 23, 87];
/** Added to luma before the logarithm, as a share of the face's mean: it keeps noise in black pixels small. */
const OFFSET = 0.2;
const DIRECTIONS = [[0, 1], [1, 0], [1, 1], [1, -1]] as const;

/** Detail of one aligned face. Gradients are in percent of luma per pixel of a 112x112 crop. */
export interface Detail {
  /** Gradient that 60 % of the pixels around an eye exceed, of the eye with less detail. */
  readonly eyes: number;
  /** Gradient that 10 % of the pixels around the mouth exceed. */
  readonly mouth: number;
  /** Sharpness in the direction in which it is smallest; motion blur and defocus lower it. */
  readonly sharpness: number;
  /** Difference between the logarithms of the median luma of both halves of the face; 0 for even light. */
  readonly sideLight: number;
}

/**
 * Measure the detail of one face.
 *
 * @param crop RGB image of 112x112: a face aligned to ArcFace's template.
 * @throws InputError if the crop has another shape.
 */
export function measureDetail(crop: Image): Detail {
  if (crop.height !== SIDE || crop.width !== SIDE || crop.channels !== 3) {
    throw new InputError(`expected a crop of (112, 112, 3), found (${crop.height}, ${crop.width}, ${crop.channels})`);
  }
  const luma = smoothLuma(crop);
  const face = valuesOf(luma, FACE);
  const mean = sum(face) / face.length;
  const offset = Math.max(OFFSET * mean, 1);
  const logarithm = luma.map((value) => 100 * Math.log(value + offset));
  const gradient = gradientOf(logarithm);
  const deviation = Math.sqrt(face.reduce((total, value) => total + (value - mean) ** 2, 0) / face.length);
  const [top, bottom, left, right] = FACE;
  const light = median(valuesOf(luma, [top, bottom, left, left + 30]));
  const otherLight = median(valuesOf(luma, [top, bottom, left + 30, right]));
  return {
    eyes: Math.min(...EYES.map((eye) => quantile(valuesOf(gradient, eye), 0.4))),
    mouth: quantile(valuesOf(gradient, MOUTH), 0.9),
    sharpness: Math.sqrt((leastSharpness(luma) / (deviation + 1)) * leastSharpness(logarithm)),
    sideLight: Math.abs(Math.log((light + 3) / (otherLight + 3))),
  };
}

/** Compute luma (ITU-R BT.601) and reduce noise with the kernel 1-2-1 in both directions; one pixel less at each edge. */
function smoothLuma(crop: Image): Float32Array {
  const { data } = crop;
  const luma = new Float32Array(SIDE * SIDE);
  for (let i = 0; i < luma.length; i++) luma[i] = (77 * data[3 * i]! + 150 * data[3 * i + 1]! + 29 * data[3 * i + 2]!) / 256;
  const down = new Float32Array(SMOOTH * SIDE);
  for (let i = 0; i < down.length; i++) down[i] = (luma[i]! + 2 * luma[i + SIDE]! + luma[i + 2 * SIDE]!) / 4;
  const smooth = new Float32Array(SMOOTH * SMOOTH);
  for (let y = 0; y < SMOOTH; y++) {
    for (let x = 0; x < SMOOTH; x++) {
      const i = y * SIDE + x;
      smooth[y * SMOOTH + x] = (down[i]! + 2 * down[i + 1]! + down[i + 2]!) / 4;
    }
  }
  return smooth;
}

function valuesOf(values: Float32Array, [top, bottom, left, right]: Part): Float32Array {
  const width = right - left;
  const part = new Float32Array((bottom - top) * width);
  for (let y = top; y < bottom; y++) {
    part.set(values.subarray(y * SMOOTH + left, y * SMOOTH + right), (y - top) * width);
  }
  return part;
}

/** Compute the length of the central differences; the differences are zero at the edges. */
function gradientOf(values: Float32Array): Float32Array {
  const gradient = new Float32Array(values.length);
  for (let y = 0; y < SMOOTH; y++) {
    for (let x = 0; x < SMOOTH; x++) {
      const i = y * SMOOTH + x;
      const across = x > 0 && x < SMOOTH - 1 ? (values[i + 1]! - values[i - 1]!) / 2 : 0;
      const down = y > 0 && y < SMOOTH - 1 ? (values[i + SMOOTH]! - values[i - SMOOTH]!) / 2 : 0;
      gradient[i] = Math.sqrt(across * across + down * down);
    }
  }
  return gradient;
}

/** Compute the RMS of the second difference in the direction in which it is smallest, in the inner part of the crop. */
function leastSharpness(values: Float32Array): number {
  const [top, bottom, left, right] = INNER;
  const levels = DIRECTIONS.map(([down, across]) => {
    const step = down * SMOOTH + across;
    let squares = 0;
    for (let y = top + 1; y < bottom - 1; y++) {
      for (let x = left + 1; x < right - 1; x++) {
        const i = y * SMOOTH + x;
        const second = values[i + step]! + values[i - step]! - 2 * values[i]!;
        squares += second * second;
      }
    }
    const count = (bottom - top - 2) * (right - left - 2);
    return Math.sqrt(squares / count) / (down * down + across * across);
  });
  return Math.min(...levels);
}

function sum(values: Float32Array): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Return the value that this share of the values is below, without interpolation. */
function quantile(values: Float32Array, share: number): number {
  return values.sort()[Math.trunc(share * (values.length - 1))]!;
}

function median(values: Float32Array): number {
  const sorted = values.sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
