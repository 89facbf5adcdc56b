/** Input contract of a network that takes images: size, color order, normalization and alignment. */

export type Color = "rgb" | "bgr" | "gray";

/** A point (x, y) in pixels. */
export type Point = readonly [number, number];

/** Size, color order and normalization of a network's input: real = (pixel - mean) / scale for pixels 0..255. */
export interface InputContract {
  readonly height: number;
  readonly width: number;
  readonly color: Color;
  /** One value per channel, in the network's channel order. */
  readonly mean: readonly number[];
  /** One positive value per channel. */
  readonly scale: readonly number[];
  /** Left eye, right eye, nose, left and right mouth corner as seen in the image, in input pixels. */
  readonly alignment?: readonly Point[] | undefined;
}

/** Return the number of channels of a color order. */
export function channelsOf(color: Color): number {
  return color === "gray" ? 1 : 3;
}

/** ArcFace's template for 112x112 crops (Deng et al. 2019, arXiv:1801.07698). */
export const ARCFACE_112: readonly Point[] = [
  [38.2946, 51.6963],
  [73.5318, 51.5014],
  [56.0252, 71.7366],
  [41.5493, 92.3655],
  [70.7299, 92.2041],
];

/** Scale ArcFace's template to another size: by the longer side divided by 112, centred. */
export function arcface(height: number, width: number): Point[] {
  const scale = Math.max(height, width) / 112;
  const across = (width - 112 * scale) / 2;
  const down = (height - 112 * scale) / 2;
  return ARCFACE_112.map(([x, y]) => [round4(x * scale + across), round4(y * scale + down)]);
}

function round4(value: number): number {
  return Number(value.toFixed(4));
}
