/** Alignment of a face: a similarity transform from five landmarks, and a warp to the crop. */

import { arcface, type InputContract, type Point } from "./contract.js";
import { AcquisitionError, InputError } from "./errors.js";
import { checkImage, image, type Image } from "./image.js";
import { FastResize } from "./resize_fast.js";
import { clamp } from "./rounding.js";

/** Affine transform (a, b, c, d, e, f): x' = a x + b y + c, y' = d x + e y + f. */
export type Matrix = readonly [number, number, number, number, number, number];

const BITS = 7;
const ONE = 1 << BITS;
/** Sum of squared distances below which the landmarks count as one point, which defines no rotation. */
const MIN_SPREAD_PX = 1;
/** Smallest determinant of a transform that can be inverted. */
const LEAST_AREA = 1e-12;

/**
 * Compute the rotation, scale and shift that map points to a template with the least squared error, without reflection
 * (Umeyama 1991, doi 10.1109/34.88573); in the plane it is one complex factor and one complex shift.
 *
 * @throws InputError if the points are fewer than 2, not as many as the template's, or not finite.
 * @throws AcquisitionError if all points are in one place, or so far apart that the squares overflow.
 */
export function similarity(points: readonly Point[], template: readonly Point[]): Matrix {
  const count = points.length;
  if (count < 2 || count !== template.length) {
    throw new InputError(`expected as many points (x, y) as the template has, found ${count} for ${template.length}`);
  }
  if (![...points, ...template].every((point) => point.length === 2 && point.every(Number.isFinite))) {
    throw new InputError("expected finite landmarks (x, y), found NaN, infinity or another number of values");
  }
  const [middleX, middleY] = mean(points);
  const [goalX, goalY] = mean(template);
  let spread = 0;
  let real = 0;
  let imaginary = 0;
  points.forEach(([x, y], i) => {
    const awayX = x - middleX;
    const awayY = y - middleY;
    const targetX = template[i]![0] - goalX;
    const targetY = template[i]![1] - goalY;
    spread += awayX * awayX + awayY * awayY;
    real += awayX * targetX + awayY * targetY;
    imaginary += awayX * targetY - awayY * targetX;
  });
  if (!(spread >= MIN_SPREAD_PX && spread < Infinity)) {
    throw new AcquisitionError("the landmarks are in one place: no face to align", "landmarks", "look at the camera");
  }
  real /= spread;
  imaginary /= spread;
  const shiftX = goalX - (real * middleX - imaginary * middleY);
  const shiftY = goalY - (real * middleY + imaginary * middleX);
  return [real, -imaginary, shiftX, imaginary, real, shiftY];
}

function mean(points: readonly Point[]): Point {
  let x = 0;
  let y = 0;
  for (const point of points) {
    x += point[0];
    y += point[1];
  }
  return [x / points.length, y / points.length];
}

/**
 * Transform an image by an affine map with bilinear interpolation; pixels outside the image are black.
 *
 * @param matrix Maps (x, y) of the image to (x, y) of the result.
 * @param out RGB image that receives the result.
 * @throws InputError if the matrix cannot be inverted.
 */
export function warp(source: Image, matrix: Matrix, out: Image): Image {
  const [a, b, c, d, e, f] = matrix;
  const flat = a * e - b * d;
  const across = [e / flat, -b / flat, (b * f - e * c) / flat] as const;
  const down = [-d / flat, a / flat, (d * c - a * f) / flat] as const;
  if (!(Math.abs(flat) >= LEAST_AREA && Math.abs(flat) < Infinity) || ![...across, ...down].every(Number.isFinite)) {
    throw new InputError("expected a transform that can be inverted, found one that flattens the image");
  }
  sample(source, across, down, out);
  return out;
}

type Axis = readonly [number, number, number];

/** Smallest and largest position along an axis, which are at corners of the result, limited to 1 px outside the image. */
function span(axis: Axis, height: number, width: number, length: number): readonly [number, number] {
  const x = axis[0] * (width - 1);
  const y = axis[1] * (height - 1);
  const low = axis[2] + Math.min(x, 0) + Math.min(y, 0);
  const high = axis[2] + Math.max(x, 0) + Math.max(y, 0);
  return [Math.floor(clamp(low, -1, length)), Math.floor(clamp(high, -1, length))];
}

/** Interpolate in 1/128 of a pixel, relative to the first visible pixel. */
function sample(source: Image, axisX: Axis, axisY: Axis, out: Image): void {
  const { height, width } = out;
  const { data, width: columns, height: rows } = source;
  const [left, right] = span(axisX, height, width, columns);
  const [top, bottom] = span(axisY, height, width, rows);
  const mostX = (right + 1 - left) * ONE;
  const mostY = (bottom + 1 - top) * ONE;
  // Half a step more, so that truncation to integers rounds to nearest.
  const startX = axisX[2] * ONE + (0.5 - left * ONE);
  const startY = axisY[2] * ONE + (0.5 - top * ONE);
  const stride = 3 * columns;
  let to = 0;
  for (let y = 0; y < height; y++) {
    const rowX = axisX[1] * ONE * y + startX;
    const rowY = axisY[1] * ONE * y + startY;
    for (let x = 0; x < width; x++, to += 3) {
      const placeX = clampedPlace(rowX + axisX[0] * ONE * x, mostX);
      const placeY = clampedPlace(rowY + axisY[0] * ONE * x, mostY);
      const column = left + (placeX >> BITS);
      const row = top + (placeY >> BITS);
      const wx = placeX & (ONE - 1);
      const wy = placeY & (ONE - 1);
      const at = row * stride + 3 * column;
      const inside = column >= 0 && row >= 0 && column + 1 < columns && row + 1 < rows;
      for (let c = 0; c < 3; c++) {
        const i = at + c;
        const p00 = inside ? data[i]! : pixel(source, row, column, c);
        const p01 = inside ? data[i + 3]! : pixel(source, row, column + 1, c);
        const p10 = inside ? data[i + stride]! : pixel(source, row + 1, column, c);
        const p11 = inside ? data[i + stride + 3]! : pixel(source, row + 1, column + 1, c);
        const near = p00 * (ONE - wy) + p10 * wy;
        const far = p01 * (ONE - wy) + p11 * wy;
        out.data[to + c] = (near * (ONE - wx) + far * wx + (1 << (2 * BITS - 1))) >> (2 * BITS);
      }
    }
  }
}

function clampedPlace(place: number, most: number): number {
  return place < 0 ? 0 : place > most ? most : place | 0;
}

function pixel(source: Image, row: number, column: number, channel: number): number {
  const inside = row >= 0 && column >= 0 && row < source.height && column < source.width;
  return inside ? source.data[(row * source.width + column) * 3 + channel]! : 0;
}

/** Return the landmarks of a contract's aligned crop: its own, or ArcFace's at its size if it has none. */
export function templateOf(contract: InputContract): readonly Point[] {
  return contract.alignment ?? arcface(contract.height, contract.width);
}

/** Cuts aligned faces out of frames; keeps its buffers from call to call. */
export class Aligner {
  private readonly template: readonly Point[];
  private part = image(1, 1);

  constructor(private readonly contract: InputContract) {
    this.template = templateOf(contract);
  }

  /** Compute the transform from a frame to the crop; errors as `similarity`. */
  matrix(landmarks: readonly Point[]): Matrix {
    return similarity(landmarks, this.template);
  }

  /**
   * Cut one aligned face out of a frame, as the embedder expects it. A face more than twice as large as in the crop is
   * first reduced by block means, because bilinear sampling alone would cause aliasing.
   *
   * @param frame RGB image of 16 px or more per side.
   * @param landmarks Five points in the frame's pixels, in the order of the template.
   * @param out RGB image of the contract's size that receives the crop; a new one by default.
   * @throws InputError if the frame is malformed or the landmarks are not five finite points.
   * @throws AcquisitionError if the landmarks are not those of a face.
   */
  align(frame: Image, landmarks: readonly Point[], out?: Image): Image {
    checkImage(frame, 3);
    const target = out ?? image(this.contract.height, this.contract.width);
    const matrix = this.matrix(landmarks);
    const shrink = Math.trunc(1 / Math.max(Math.hypot(matrix[0], matrix[3]), 1e-6));
    if (shrink < 2) return warp(frame, matrix, target);
    const [top, left, neededRows, neededColumns] = this.needed(matrix, frame);
    const rows = Math.max(1, Math.floor(neededRows / shrink));
    const columns = Math.max(1, Math.floor(neededColumns / shrink));
    // A part of less than one block, at the edge of the frame, has fewer pixels.
    const usedRows = Math.min(rows * shrink, frame.height - top);
    const usedColumns = Math.min(columns * shrink, frame.width - left);
    const part = this.partOf(rows, columns);
    new FastResize(usedRows, usedColumns, rows, columns).run(frame, top, left, part);
    // Pixel i of the part is the mean of `shrink` pixels that start at left + i * shrink.
    const [a, b, c, d, e, f] = matrix;
    const x = left + (shrink - 1) / 2;
    const y = top + (shrink - 1) / 2;
    return warp(part, [a * shrink, b * shrink, a * x + b * y + c, d * shrink, e * shrink, d * x + e * y + f], target);
  }

  private partOf(height: number, width: number): Image {
    const length = 3 * height * width;
    const buffer = this.part.data.buffer.byteLength >= length ? this.part.data.buffer : new ArrayBuffer(length);
    this.part = image(height, width, 3, new Uint8Array(buffer, 0, length));
    return this.part;
  }

  /** Compute the part of a frame that is visible in the crop: top, left, height, width; at least one pixel. */
  private needed(matrix: Matrix, frame: Image): readonly [number, number, number, number] {
    const [a, b, c, d, e, f] = matrix;
    const flat = a * e - b * d;
    const { height, width } = this.contract;
    const xs: number[] = [];
    const ys: number[] = [];
    for (const x of [0, width]) {
      for (const y of [0, height]) {
        xs.push((e * (x - c) - b * (y - f)) / flat);
        ys.push((a * (y - f) - d * (x - c)) / flat);
      }
    }
    const left = Math.trunc(clamp(Math.min(...xs) - 2, 0, frame.width - 1));
    const top = Math.trunc(clamp(Math.min(...ys) - 2, 0, frame.height - 1));
    const right = Math.trunc(clamp(Math.max(...xs) + 2, left + 1, frame.width));
    const bottom = Math.trunc(clamp(Math.max(...ys) + 2, top + 1, frame.height));
    return [top, left, bottom - top, right - left];
  }
}

/** Cut one aligned face out of a frame; see `Aligner.align`. */
export function align(frame: Image, landmarks: readonly Point[], contract: InputContract): Image {
  return new Aligner(contract).align(frame, landmarks);
}
