/** Quality measures of a face sample, computed from the aligned crop and the landmarks without a network. */

import { Aligner, similarity } from "./alignment.js";
import type { Face } from "./candidates.js";
import { ARCFACE_112, arcface, type InputContract } from "./contract.js";
import { type Detail, measureDetail } from "./detail.js";
import { InputError } from "./errors.js";
import type { Image } from "./image.js";
import { type Pose, poseOf } from "./pose.js";

const SIDE = 112;
const CONTRACT: InputContract = {
  height: SIDE,
  width: SIDE,
  color: "rgb",
  mean: [0, 0, 0],
  scale: [1, 1, 1],
  alignment: arcface(SIDE, SIDE),
};
// ISO/IEC 29794-5 and OFIQ count luma levels up to 25 and from 247 as badly exposed.
const DARK = 25;
const BRIGHT = 247;
// Beyond 60 degrees of yaw the landmarks are unreliable, and so is a distance computed from them.
const LEAST_COSINE = 0.5;
/** Luma is computed in 1/256 of a level, as whole numbers (ITU-R BT.601). */
const LEVEL = 256;
// First row, last row, first column, last column (exclusive) of the face in the crop, without hair and background.
const FACE = { top: 30, bottom: 106, left: 26, right: 86 };
const WIDTH = FACE.right - FACE.left;
const HEIGHT = FACE.bottom - FACE.top;
// The eyes' rows and columns, relative to the face.
const EYES = [[14, 30, 2, 24], [14, 30, 36, 58]] as const;

/** Quality measures of one face. */
export interface Quality {
  /** Distance between the eyes in the frame, divided by the cosine of the yaw (ISO/IEC 29794-5). */
  readonly eyeDistancePx: number;
  /** Standard deviation of the crop's Laplacian divided by that of its luma (after Pech-Pacheco et al. 2000). */
  readonly sharpness: number;
  /** Mean luma of the face, 0..255. */
  readonly brightness: number;
  /** Standard deviation of that luma, in levels. */
  readonly contrast: number;
  /** Share of the face's pixels that are nearly black or nearly white, 0..1. */
  readonly exposedWrongly: number;
  readonly pose: Pose;
  /** RMS distance of the aligned landmarks to a frontal face's, divided by the distance between the eyes. */
  readonly landmarkMisfit: number;
  /** Lower of the two eyes' standard deviations of luma, divided by the face's. */
  readonly eyeContrast: number;
  /** The detector's score, 0..1. */
  readonly detection: number;
  /** Area of the second largest face divided by this one's, 0 if this is the only face. */
  readonly rival: number;
  /** Measures of covered eyes and mouth, motion blur and one-sided light; undefined if not measured. */
  readonly detail?: Detail;
}

/** Measures the quality of faces; keeps its crop from call to call. */
export class QualityMeter {
  private readonly aligner = new Aligner(CONTRACT);
  private readonly luma = new Int32Array(WIDTH * HEIGHT);

  /**
   * Measure one face of a frame.
   *
   * @param frame RGB image.
   * @param face Face to measure.
   * @param options.others All faces of the frame; `face` may be among them.
   * @param options.crop The face aligned to ArcFace's template at 112x112, if the caller already has it.
   * @param options.detail Also measure `Detail`, which `enrolmentLimits` judges.
   * @throws InputError if the frame is malformed, or the crop has another size.
   * @throws AcquisitionError if the landmarks are not those of a face.
   */
  assess(
    frame: Image,
    face: Face,
    options: { readonly others?: readonly Face[]; readonly crop?: Image; readonly detail?: boolean } = {},
  ): Quality {
    const crop = options.crop ?? this.aligner.align(frame, face.landmarks);
    if (crop.height !== SIDE || crop.width !== SIDE || crop.channels !== 3) {
      throw new InputError(`expected a crop of (112, 112, 3), found (${crop.height}, ${crop.width}, ${crop.channels})`);
    }
    this.computeLuma(crop);
    const { luma } = this;
    const [mean, deviation] = spread(luma);
    const contrast = deviation / LEVEL;
    const pose = poseOf(face.landmarks);
    const rivals = (options.others ?? []).filter((other) => other !== face).map(areaOf);
    const [leftEye, rightEye] = [face.landmarks[0]!, face.landmarks[1]!];
    const eyeDistance = Math.hypot(leftEye[0] - rightEye[0], leftEye[1] - rightEye[1]);
    return {
      eyeDistancePx: eyeDistance / Math.max(Math.cos((pose.yawDeg * Math.PI) / 180), LEAST_COSINE),
      sharpness: spread(laplacian(luma))[1] / LEVEL / Math.max(contrast, 1),
      brightness: mean / LEVEL,
      contrast,
      exposedWrongly: luma.filter((value) => value <= DARK * LEVEL || value >= BRIGHT * LEVEL).length / luma.length,
      pose,
      landmarkMisfit: misfit(face),
      eyeContrast: Math.min(...EYES.map((eye) => spread(part(luma, eye))[1])) / LEVEL / Math.max(contrast, 1),
      detection: face.score,
      rival: Math.max(0, ...rivals) / Math.max(areaOf(face), 1e-6),
      ...(options.detail ? { detail: measureDetail(crop) } : {}),
    };
  }

  private computeLuma({ data }: Image): void {
    let to = 0;
    for (let y = FACE.top; y < FACE.bottom; y++) {
      let from = (y * SIDE + FACE.left) * 3;
      for (let x = 0; x < WIDTH; x++, from += 3) {
        this.luma[to++] = 77 * data[from]! + 150 * data[from + 1]! + 29 * data[from + 2]!;
      }
    }
  }
}

/** Measure one face of a frame; see `QualityMeter.assess`. */
export function assess(frame: Image, face: Face, options: Parameters<QualityMeter["assess"]>[2] = {}): Quality {
  return new QualityMeter().assess(frame, face, options);
}

function areaOf(face: Face): number {
  return face.box[2] * face.box[3];
}

function part(luma: Int32Array, [top, bottom, left, right]: readonly [number, number, number, number]): Int32Array {
  const values = new Int32Array((bottom - top) * (right - left));
  for (let y = top; y < bottom; y++) {
    values.set(luma.subarray(y * WIDTH + left, y * WIDTH + right), (y - top) * (right - left));
  }
  return values;
}

function laplacian(luma: Int32Array): Int32Array {
  const values = new Int32Array((WIDTH - 2) * (HEIGHT - 2));
  let to = 0;
  for (let y = 1; y < HEIGHT - 1; y++) {
    for (let x = 1; x < WIDTH - 1; x++) {
      const i = y * WIDTH + x;
      values[to++] = luma[i - WIDTH]! + luma[i + WIDTH]! + luma[i - 1]! + luma[i + 1]! - 4 * luma[i]!;
    }
  }
  return values;
}

/** Compute mean and standard deviation of whole numbers. */
function spread(values: Int32Array): readonly [number, number] {
  let total = 0;
  for (const value of values) total += value;
  const mean = total / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) * (value - mean);
  return [mean, Math.sqrt(squares / values.length)];
}

function misfit(face: Face): number {
  const [a, b, c, d, e, f] = similarity(face.landmarks, ARCFACE_112);
  let squares = 0;
  face.landmarks.forEach(([x, y], i) => {
    const [goalX, goalY] = ARCFACE_112[i]!;
    squares += (a * x + b * y + c - goalX) ** 2 + (d * x + e * y + f - goalY) ** 2;
  });
  const [left, right] = [ARCFACE_112[0]!, ARCFACE_112[1]!];
  return Math.sqrt(squares / ARCFACE_112.length) / Math.hypot(right[0] - left[0], right[1] - left[1]);
}
