import { InputError } from "./errors.js";

/** An image: `data` has height * width * channels bytes, row by row, channels in the order RGB. */
export interface Image {
  readonly data: Uint8Array;
  readonly height: number;
  readonly width: number;
  /** 3, or 1 for a gray image. */
  readonly channels: number;
}

export const MIN_SIDE_PX = 16;
export const MAX_PIXELS = 40_000_000;

/** Make an image around an array, or allocate a black one. */
export function image(height: number, width: number, channels = 3, data?: Uint8Array): Image {
  return { data: data ?? new Uint8Array(height * width * channels), height, width, channels };
}

/**
 * Convert RGBA pixels, as a canvas gives them, to an RGB image; alpha is ignored.
 *
 * @param rgba 4 * height * width bytes.
 * @param out Image of the same size to write to; a new one by default.
 */
export function fromRgba(rgba: Uint8Array | Uint8ClampedArray, height: number, width: number, out?: Image): Image {
  const target = out ?? image(height, width);
  if (rgba.length !== 4 * height * width || target.data.length !== 3 * height * width) {
    throw new InputError(`expected ${4 * height * width} bytes for ${height}x${width} RGBA pixels, found ${rgba.length}`);
  }
  const rgb = target.data;
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = rgba[from]!;
    rgb[to + 1] = rgba[from + 1]!;
    rgb[to + 2] = rgba[from + 2]!;
  }
  return target;
}

/** Check that an image has these channels, sides of 16 px or more, and as many bytes as its size states. */
export function checkImage(value: Image, channels: number): void {
  const { data, height, width } = value;
  const whole = Number.isInteger(height) && Number.isInteger(width);
  if (!(data instanceof Uint8Array) || !whole || value.channels !== channels || data.length !== height * width * channels) {
    throw new InputError(
      `expected an image of (H, W, ${channels}) bytes, found ${data.length} bytes for (${height}, ${width}, ${value.channels})`,
    );
  }
  if (Math.min(height, width) < MIN_SIDE_PX) {
    throw new InputError(`expected an image of at least ${MIN_SIDE_PX}x${MIN_SIDE_PX} px, found ${height}x${width}`);
  }
}
