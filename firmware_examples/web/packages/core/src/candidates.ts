/** Candidates from a detector's grid, and non-maximum suppression of overlapping ones. */

import type { Point } from "./contract.js";
import type { TensorData, TensorInfo } from "./network.js";

/** Largest number of candidates; the best are kept. If there are more, most of them are not faces. */
export const MAX_CANDIDATES = 1000;

/** A box (left, top, width, height), five landmarks (x, y) and a score 0..1, in one coordinate system. */
export interface Face {
  readonly box: readonly [number, number, number, number];
  /** Left eye, right eye, nose, left and right mouth corner, left and right as seen in the image. */
  readonly landmarks: readonly Point[];
  /** The detector's own score; higher means more likely a face. It is not a probability. */
  readonly score: number;
}

/** Decodes a network's outputs into candidates. */
export interface Decoder {
  /** True averages overlapping candidates, false keeps the best one. */
  readonly blends: boolean;
  /** Width of the smallest face that is detected reliably, in pixels of the network's input. */
  readonly smallestFacePx: number;
  /** Lowest score of a face by default: that of the network's authors. */
  readonly score: number;
  /** Decode the candidates at or above a score, in pixels of the network's input, best first. */
  decode(outputs: ReadonlyMap<string, Output>, minScore: number): Face[];
}

/** One output tensor of a network: codes with the real value scale * (code - zeroPoint), or floats if scale is 0. */
export class Output {
  private readonly zeroPoint: number;
  private readonly scale: number;

  constructor(
    readonly values: TensorData,
    info: Pick<TensorInfo, "scale" | "zeroPoint">,
  ) {
    this.zeroPoint = Math.fround(info.zeroPoint);
    this.scale = Math.fround(info.scale);
  }

  /** Return one value, in float32 precision. */
  real(index: number): number {
    const value = Math.fround(this.values[index]!);
    return this.scale > 0 ? Math.fround(Math.fround(value - this.zeroPoint) * this.scale) : value;
  }
}

/** Keep the 1,000 best candidates whose numbers are finite and whose box has an area, best first. */
export function validCandidates(candidates: readonly Face[]): Face[] {
  return candidates.filter(isValid).sort((first, second) => second.score - first.score).slice(0, MAX_CANDIDATES);
}

function isValid({ box, landmarks, score }: Face): boolean {
  const finite = Number.isFinite(score) && box.every(Number.isFinite);
  return finite && box[2] > 0 && box[3] > 0 && landmarks.every(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
}

/** Compute the intersection over union of two boxes, 0..1. */
export function overlap(first: Face["box"], second: Face["box"]): number {
  const width = Math.min(first[0] + first[2], second[0] + second[2]) - Math.max(first[0], second[0]);
  const height = Math.min(first[1] + first[3], second[1] + second[3]) - Math.max(first[1], second[1]);
  const common = Math.max(width, 0) * Math.max(height, 0);
  const union = first[2] * first[3] + second[2] * second[3] - common;
  return common / Math.max(union, 1e-12);
}

/**
 * Reduce candidates to one per face by greedy non-maximum suppression.
 *
 * @param candidates Candidates, best first; see `validCandidates`.
 * @param maxOverlap Intersection over union above which two candidates are one face, 0..1.
 * @param blend Average the candidates of a face, weighted by score, which makes landmarks steadier from frame to frame
 *   (Bazarevsky et al. 2019, arXiv:1907.05047, section 3.3); false keeps the best one.
 */
export function merge(candidates: readonly Face[], maxOverlap: number, blend: boolean): Face[] {
  const faces: Face[] = [];
  let left = [...candidates];
  while (left.length > 0) {
    const best = left[0]!;
    const group: Face[] = [];
    const others: Face[] = [];
    for (const candidate of left) {
      const same = candidate === best || overlap(best.box, candidate.box) > maxOverlap;
      (same ? group : others).push(candidate);
    }
    faces.push(blend ? blended(group) : best);
    left = others;
  }
  return faces;
}

function blended(group: readonly Face[]): Face {
  const total = group.reduce((sum, face) => sum + face.score, 0);
  const average = (value: (face: Face) => number) =>
    group.reduce((sum, face) => sum + (face.score / total) * value(face), 0);
  const first = group[0]!;
  return {
    box: [
      average((face) => face.box[0]),
      average((face) => face.box[1]),
      average((face) => face.box[2]),
      average((face) => face.box[3]),
    ],
    landmarks: first.landmarks.map(
      (_, i): Point => [average((face) => face.landmarks[i]![0]), average((face) => face.landmarks[i]![1])],
    ),
    score: first.score,
  };
}
