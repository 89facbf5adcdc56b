/**
 * Decoding of YuNet's outputs (Wu et al. 2023, YuNet: a tiny millisecond-level face detector).
 *
 * There is one prediction for each cell of three grids. A box is given by the offset of its centre and the logarithm of
 * its sides, landmarks by their offsets, all in cells. The score is the geometric mean of class and objectness.
 */

import { type Decoder, type Face, type Output, validCandidates } from "./candidates.js";
import type { Point } from "./contract.js";
import { ModelContractError } from "./errors.js";
import { clamp } from "./rounding.js";

const STRIDES = [8, 16, 32] as const;
const PARTS = [["cls", 1], ["obj", 1], ["bbox", 4], ["kps", 10]] as const;
/** e^8 cells is wider than any frame; the limit prevents an overflow with a broken network. */
const MAX_LOG_SIDE = 8;

/** Decoder for one input size. */
export class YuNetDecoder implements Decoder {
  readonly blends = false;
  readonly smallestFacePx = 10;
  readonly score = 0.6;

  /**
   * @param height Height of the network's input in pixels, a multiple of 32.
   * @param width Width of the network's input in pixels, a multiple of 32.
   * @param shapes Shapes of the network's outputs, by name.
   * @throws ModelContractError if the outputs are not those of YuNet at this size.
   */
  constructor(
    private readonly height: number,
    private readonly width: number,
    shapes: ReadonlyMap<string, readonly number[]>,
  ) {
    for (const stride of STRIDES) {
      const cells = Math.floor(height / stride) * Math.floor(width / stride);
      for (const [name, values] of PARTS) {
        const expected = `1x${cells}x${values}`;
        const shape = shapes.get(`${name}_${stride}`)?.join("x") ?? "none";
        if (shape !== expected) {
          throw new ModelContractError(`expected YuNet's output ${name}_${stride} of shape ${expected}, found ${shape}`);
        }
      }
    }
  }

  decode(outputs: ReadonlyMap<string, Output>, minScore: number): Face[] {
    const faces: Face[] = [];
    const least = Math.fround(minScore ** 2);
    for (const stride of STRIDES) {
      const [classes, objects, boxes, points] = PARTS.map(([name]) => outputs.get(`${name}_${stride}`)!);
      const columns = Math.floor(this.width / stride);
      const cells = Math.floor(this.height / stride) * columns;
      for (let cell = 0; cell < cells; cell++) {
        // Neither factor exceeds 1, so both must reach what the product must reach.
        const likelyClass = clamp(classes!.real(cell), 0, 1);
        if (!(likelyClass >= least)) continue;
        const likely = Math.fround(likelyClass * clamp(objects!.real(cell), 0, 1));
        if (likely >= least) faces.push(face(boxes!, points!, cell, columns, stride, Math.sqrt(likely)));
      }
    }
    return validCandidates(faces);
  }
}

function face(boxes: Output, points: Output, cell: number, columns: number, stride: number, score: number): Face {
  const column = cell % columns;
  const row = Math.floor(cell / columns);
  const width = Math.exp(Math.min(boxes.real(4 * cell + 2), MAX_LOG_SIDE)) * stride;
  const height = Math.exp(Math.min(boxes.real(4 * cell + 3), MAX_LOG_SIDE)) * stride;
  const centreX = (column + boxes.real(4 * cell)) * stride;
  const centreY = (row + boxes.real(4 * cell + 1)) * stride;
  const landmarks = Array.from({ length: 5 }, (_, i): Point => [
    (column + points.real(10 * cell + 2 * i)) * stride,
    (row + points.real(10 * cell + 2 * i + 1)) * stride,
  ]);
  return { box: [centreX - width / 2, centreY - height / 2, width, height], landmarks, score };
}
