/**
 * Resizing of images, with one function for each purpose.
 *
 * - `fit` brings crops and photographs to a network's input size: it keeps the aspect ratio and is antialiased.
 * - `FastResize` brings camera frames to a detector's size, with integer arithmetic and without allocation per frame.
 * - `resizeBilinear` samples without smoothing, for networks that were trained on such images.
 */

import { image, type Image } from "./image.js";
import { BilinearAxis, FastResize } from "./resize_fast.js";
import { clamp, roundEven } from "./rounding.js";

/**
 * Crop an image to a size's aspect ratio around its centre and resize it, antialiased.
 *
 * @returns An image of (height, width, C); the argument itself if it already has the size.
 */
export function fit(source: Image, height: number, width: number): Image {
  const { height: rows, width: columns, channels } = source;
  if (rows === height && columns === width) return source;
  const cutRows = Math.min(rows, Math.max(1, roundEven((columns * height) / width)));
  const cutColumns = Math.min(columns, Math.max(1, roundEven((rows * width) / height)));
  const top = Math.floor((rows - cutRows) / 2);
  const left = Math.floor((columns - cutColumns) / 2);
  const cut = crop(source, top, left, cutRows, cutColumns);
  if (cutRows === height && cutColumns === width) return cut;
  const vertical = triangleFilter(cutRows, height);
  const horizontal = triangleFilter(cutColumns, width);
  const result = image(height, width, channels);
  const row = new Float32Array(cutColumns * channels);
  for (let y = 0; y < height; y++) {
    mixRows(cut, vertical, y, row);
    for (let x = 0; x < width; x++) {
      const first = horizontal.first[x]!;
      const weights = horizontal.weights[x]!;
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += weights[i]! * row[(first + i) * channels + c]!;
        result.data[(y * width + x) * channels + c] = clamp(roundEven(Math.fround(sum)), 0, 255);
      }
    }
  }
  return result;
}

function mixRows(source: Image, filter: Filter, y: number, row: Float32Array): void {
  const stride = source.width * source.channels;
  const weights = filter.weights[y]!;
  const start = filter.first[y]! * stride;
  for (let i = 0; i < stride; i++) {
    let sum = 0;
    for (let k = 0; k < weights.length; k++) sum += weights[k]! * source.data[start + k * stride + i]!;
    row[i] = sum;
  }
}

interface Filter {
  /** Index of the first source pixel of each result pixel. */
  readonly first: readonly number[];
  /** Weights of the source pixels from there on; their sum is 1. */
  readonly weights: readonly Float32Array[];
}

/** Compute weights: bilinear if enlarged, antialiased if reduced, half-pixel centres. */
function triangleFilter(source: number, target: number): Filter {
  const ratio = source / target;
  const support = Math.max(ratio, 1);
  const first: number[] = [];
  const weights: Float32Array[] = [];
  for (let i = 0; i < target; i++) {
    const centre = (i + 0.5) * ratio - 0.5;
    const low = Math.max(0, Math.floor(centre - support));
    const high = Math.min(source - 1, Math.ceil(centre + support));
    const raw = Array.from({ length: high - low + 1 }, (_, k) => Math.max(0, 1 - Math.abs(low + k - centre) / support));
    const sum = raw.reduce((total, weight) => total + weight, 0);
    first.push(low);
    weights.push(Float32Array.from(raw, (weight) => weight / sum));
  }
  return { first, weights };
}

/** Copy a part of an image. */
export function crop(source: Image, top: number, left: number, height: number, width: number): Image {
  const { channels } = source;
  const result = image(height, width, channels);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * source.width + left) * channels;
    result.data.set(source.data.subarray(start, start + width * channels), y * width * channels);
  }
  return result;
}

/**
 * Resize by averaging whole blocks of pixels and sampling the averages bilinearly, half-pixel centres.
 *
 * @returns An image of (height, width, C); the argument itself if it already has the size. `FastResize` does the same
 *   for many frames of one size without allocation.
 */
export function resizeFast(source: Image, height: number, width: number): Image {
  if (source.height === height && source.width === width) return source;
  const result = image(height, width, source.channels);
  new FastResize(source.height, source.width, height, width, source.channels).run(source, 0, 0, result);
  return result;
}

/** Resize by bilinear sampling without smoothing, half-pixel centres; returns an image of (height, width, C). */
export function resizeBilinear(source: Image, height: number, width: number): Image {
  const { height: rows, width: columns, channels } = source;
  if (rows === height && columns === width) return source;
  const result = image(height, width, channels);
  const down = new BilinearAxis(height, rows / height, rows);
  const across = new BilinearAxis(width, columns / width, columns);
  const row = new Uint8Array(columns * channels);
  for (let y = 0; y < height; y++) {
    const stride = columns * channels;
    down.mixRows(source.data, down.first[y]! * stride, down.second[y]! * stride, y, row);
    across.mixColumns(row, channels, result.data, y * width * channels);
  }
  return result;
}
