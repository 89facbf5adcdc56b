/** Resizing of camera frames to a detector's size: block means, then bilinear sampling, in integer arithmetic. */

import { InputError } from "./errors.js";
import type { Image } from "./image.js";
import { clamp, roundEven } from "./rounding.js";

const BITS = 7;
const ONE = 1 << BITS;
/** Largest number of pixels of a row or column that are averaged; of a larger block only this many are used. */
const MAX_MEAN = 4;

/** Neighbours and weights of bilinear sampling along one axis. */
export class BilinearAxis {
  readonly first: Int32Array;
  readonly second: Int32Array;
  /** Weight of the second neighbour in 1/128. */
  readonly weight: Int32Array;
  /** True if every result pixel is a source pixel. */
  readonly identity: boolean;

  /**
   * @param count Number of result pixels.
   * @param step Distance between result pixels, in source pixels.
   * @param available Number of source pixels.
   */
  constructor(count: number, step: number, available: number) {
    this.identity = step === 1 && count === available;
    this.first = new Int32Array(count);
    this.second = new Int32Array(count);
    this.weight = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      const centre = clamp((i + 0.5) * step - 0.5, 0, available - 1);
      const first = Math.floor(centre);
      this.first[i] = first;
      this.second[i] = Math.min(first + 1, available - 1);
      this.weight[i] = roundEven((centre - first) * ONE);
    }
  }

  /** Mix two rows, which start at `above` and `below` in `data`, with the weight of result pixel `i`. */
  mixRows(data: Uint8Array, above: number, below: number, i: number, out: Uint8Array): void {
    const weight = this.weight[i]!;
    const rest = ONE - weight;
    for (let k = 0; k < out.length; k++) {
      out[k] = (data[above + k]! * rest + data[below + k]! * weight + ONE / 2) >> BITS;
    }
  }

  /** Sample one row of pixels into `out`, from position `to`. */
  mixColumns(row: Uint8Array, channels: number, out: Uint8Array, to: number): void {
    const { first, second, weight } = this;
    for (let x = 0; x < first.length; x++) {
      const w = weight[x]!;
      const near = first[x]! * channels;
      const far = second[x]! * channels;
      for (let c = 0; c < channels; c++) {
        out[to++] = (row[near + c]! * (ONE - w) + row[far + c]! * w + ONE / 2) >> BITS;
      }
    }
  }
}

/** Choose the pixels of a block that are averaged: all, or a few evenly spaced around its centre. */
function averagedOffsets(block: number): number[] {
  if (block <= MAX_MEAN) return Array.from({ length: block }, (_, i) => i);
  return Array.from({ length: MAX_MEAN }, (_, i) => Math.floor(((i + 0.5) * block) / MAX_MEAN));
}

/** Resizes frames of one size to another size, without allocation per frame. */
export class FastResize {
  private readonly blockY: number;
  private readonly blockX: number;
  private readonly offsetsY: Int32Array;
  private readonly offsetsX: Int32Array;
  private readonly down: BilinearAxis;
  private readonly across: BilinearAxis;
  /** The two mean rows between which a result row lies, and their indices. */
  private readonly means: Uint8Array;
  private readonly cached = new Int32Array(2);
  private readonly row: Uint8Array;
  private readonly narrow: Uint8Array;

  /**
   * @param rows Height of the source, or of the part of it that is resized.
   * @param columns Width of the same.
   * @param height Height of the result.
   * @param width Width of the result.
   */
  constructor(
    readonly rows: number,
    readonly columns: number,
    readonly height: number,
    readonly width: number,
    readonly channels = 3,
  ) {
    this.blockY = Math.max(1, Math.floor(rows / height));
    this.blockX = Math.max(1, Math.floor(columns / width));
    this.offsetsY = Int32Array.from(averagedOffsets(this.blockY));
    this.offsetsX = Int32Array.from(averagedOffsets(this.blockX));
    this.down = new BilinearAxis(height, rows / height / this.blockY, Math.floor(rows / this.blockY));
    const meanColumns = Math.floor(columns / this.blockX);
    this.across = new BilinearAxis(width, columns / width / this.blockX, meanColumns);
    this.means = new Uint8Array(2 * columns * channels);
    this.row = new Uint8Array(columns * channels);
    this.narrow = new Uint8Array(meanColumns * channels);
  }

  /**
   * Resize a part of an image.
   *
   * @param source Image with at least `rows` rows from `top` and `columns` columns from `left` on.
   * @param out Image of at least (height, width); its upper left corner receives the result.
   */
  run(source: Image, top: number, left: number, out: Image): void {
    const fits = top + this.rows <= source.height && left + this.columns <= source.width;
    if (!fits || out.height < this.height || out.width < this.width) {
      throw new InputError(`expected a part of ${this.rows}x${this.columns} pixels inside the image, found a smaller image`);
    }
    this.cached.fill(-1);
    for (let y = 0; y < this.height; y++) {
      const row = this.resizedRow(source, top, left, y);
      this.writeColumns(row, out.data, y * out.width * this.channels);
    }
  }

  private resizedRow(source: Image, top: number, left: number, y: number): Uint8Array {
    const { down, means } = this;
    const stride = this.row.length;
    if (down.identity) {
      this.meanRow(source, top, left, y, 0);
      return means;
    }
    const above = this.meanSlot(source, top, left, down.first[y]!, -1);
    const below = this.meanSlot(source, top, left, down.second[y]!, above);
    down.mixRows(means, above * stride, below * stride, y, this.row);
    return this.row;
  }

  /** Return the slot of `means` that holds a mean row; compute it if needed, without overwriting the slot `keep`. */
  private meanSlot(source: Image, top: number, left: number, index: number, keep: number): number {
    if (this.cached[0] === index) return 0;
    if (this.cached[1] === index) return 1;
    // Rows are visited in ascending order: the smaller index is not needed any more.
    const slot = keep >= 0 ? 1 - keep : this.cached[0]! <= this.cached[1]! ? 0 : 1;
    this.meanRow(source, top, left, index, slot);
    this.cached[slot] = index;
    return slot;
  }

  private meanRow(source: Image, top: number, left: number, index: number, slot: number): void {
    const { data } = source;
    const stride = source.width * this.channels;
    const length = this.row.length;
    const from = (top + index * this.blockY) * stride + left * this.channels;
    const to = slot * length;
    const { means, offsetsY } = this;
    const count = offsetsY.length;
    if (count === 1) {
      for (let i = 0; i < length; i++) means[to + i] = data[from + i]!;
    } else if (count === 2) {
      for (let i = 0; i < length; i++) means[to + i] = (data[from + i]! + data[from + stride + i]! + 1) >> 1;
    } else {
      const half = count >> 1;
      for (let i = 0; i < length; i++) {
        let sum = half;
        for (let k = 0; k < count; k++) sum += data[from + offsetsY[k]! * stride + i]!;
        means[to + i] = (sum / count) | 0;
      }
    }
  }

  private writeColumns(row: Uint8Array, out: Uint8Array, to: number): void {
    const { across, channels } = this;
    if (this.blockX === 1) {
      if (across.identity) out.set(row.subarray(0, this.narrow.length), to);
      else across.mixColumns(row, channels, out, to);
    } else if (across.identity) {
      this.meanColumns(row, out, to);
    } else {
      this.meanColumns(row, this.narrow, 0);
      across.mixColumns(this.narrow, channels, out, to);
    }
  }

  private meanColumns(row: Uint8Array, out: Uint8Array, to: number): void {
    const { channels, offsetsX } = this;
    const count = offsetsX.length;
    const end = this.narrow.length / channels;
    const step = this.blockX * channels;
    if (count === 2 && channels === 3) {
      for (let x = 0, i = 0; x < end; x++, i += 6, to += 3) {
        out[to] = (row[i]! + row[i + 3]! + 1) >> 1;
        out[to + 1] = (row[i + 1]! + row[i + 4]! + 1) >> 1;
        out[to + 2] = (row[i + 2]! + row[i + 5]! + 1) >> 1;
      }
      return;
    }
    const half = count >> 1;
    for (let x = 0; x < end; x++) {
      for (let c = 0; c < channels; c++) {
        let sum = half;
        for (let k = 0; k < count; k++) sum += row[x * step + offsetsX[k]! * channels + c]!;
        out[to++] = (sum / count) | 0;
      }
    }
  }
}
