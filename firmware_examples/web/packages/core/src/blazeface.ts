/**
 * Decoding of BlazeFace's outputs (Bazarevsky et al. 2019, arXiv:1907.05047).
 *
 * Anchors are the centres of grid cells. A prediction is a box and six points relative to its anchor, in pixels of the
 * network's input. The points are both eyes, the nose, the middle of the mouth and both ears.
 */

import { type Decoder, type Face, type Output, validCandidates } from "./candidates.js";
import type { Point } from "./contract.js";
import { ModelContractError } from "./errors.js";
import { clamp } from "./rounding.js";

/** Side of each grid's cells in pixels, and number of anchors per cell, by method. */
export const GRIDS: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  blazeface_short_range: [[8, 2], [16, 6]],
  blazeface_full_range: [[4, 1]],
};
const VALUES = 16;
const MAX_LOGIT = 100;
/** From this logit the logistic function is 1 in double precision. */
const CERTAIN_LOGIT = 36;
const LOGIT_MARGIN = 1e-3;
/** Half the mouth's width divided by the distance between the eyes, in the ArcFace template. */
const HALF_MOUTH = 0.414;

/** Compute the anchors' centres in pixels of the network's input: x and y of each, in the outputs' order. */
function anchors(method: string, height: number, width: number): Float64Array {
  const centres: number[] = [];
  for (const [side, count] of GRIDS[method]!) {
    for (let row = 0; row < Math.floor(height / side); row++) {
      for (let column = 0; column < Math.floor(width / side); column++) {
        for (let i = 0; i < count; i++) centres.push((column + 0.5) * side, (row + 0.5) * side);
      }
    }
  }
  return Float64Array.from(centres);
}

/**
 * Decoder for one network. BlazeFace does not output the corners of the mouth. They are estimated on both sides of its
 * middle, parallel to the line of the eyes: enough to align a crop, but not to judge an expression.
 */
export class BlazeFaceDecoder implements Decoder {
  readonly blends = true;
  readonly score = 0.5;
  readonly smallestFacePx: number;
  private readonly anchors: Float64Array;

  /**
   * @param method One of `GRIDS`.
   * @param height Height of the network's input in pixels.
   * @param width Width of the network's input in pixels.
   * @param shapes Shapes of the network's outputs, by name.
   * @throws ModelContractError if the outputs are not those of BlazeFace.
   */
  constructor(method: string, height: number, width: number, shapes: ReadonlyMap<string, readonly number[]>) {
    this.anchors = anchors(method, height, width);
    this.smallestFacePx = method === "blazeface_short_range" ? 16 : 8;
    for (const [name, values] of [["regressors", VALUES], ["scores", 1]] as const) {
      const expected = `1x${this.anchors.length / 2}x${values}`;
      const shape = shapes.get(name)?.join("x") ?? "none";
      if (shape !== expected) {
        throw new ModelContractError(`expected BlazeFace's output ${name} of shape ${expected}, found ${shape}`);
      }
    }
  }

  decode(outputs: ReadonlyMap<string, Output>, minScore: number): Face[] {
    const scores = outputs.get("scores")!;
    const regressors = outputs.get("regressors")!;
    const least = minScore < 1 ? Math.min(Math.log(minScore / (1 - minScore)), CERTAIN_LOGIT) : CERTAIN_LOGIT;
    const faces: Face[] = [];
    for (let anchor = 0; anchor < this.anchors.length / 2; anchor++) {
      const logit = scores.real(anchor);
      // The margin allows for rounding in the logistic function, which is computed for few anchors only.
      if (!(logit >= least - LOGIT_MARGIN)) continue;
      const likely = 1 / (1 + Math.exp(-clamp(logit, -MAX_LOGIT, MAX_LOGIT)));
      if (likely >= minScore) faces.push(this.face(regressors, anchor, likely));
    }
    return validCandidates(faces);
  }

  private face(regressors: Output, anchor: number, score: number): Face {
    const x = this.anchors[2 * anchor]!;
    const y = this.anchors[2 * anchor + 1]!;
    const value = (i: number) => regressors.real(VALUES * anchor + i);
    const point = (i: number): Point => [value(4 + 2 * i) + x, value(5 + 2 * i) + y];
    const [left, right, nose, mouth] = [point(0), point(1), point(2), point(3)];
    const halfX = (right[0] - left[0]) * HALF_MOUTH;
    const halfY = (right[1] - left[1]) * HALF_MOUTH;
    const width = value(2);
    const height = value(3);
    return {
      box: [value(0) + x - width / 2, value(1) + y - height / 2, width, height],
      landmarks: [left, right, nose, [mouth[0] - halfX, mouth[1] - halfY], [mouth[0] + halfX, mouth[1] + halfY]],
      score,
    };
  }
}
