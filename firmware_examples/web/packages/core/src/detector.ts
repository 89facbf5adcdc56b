/** Detection of faces in frames of any size with YuNet or BlazeFace. */

import { BlazeFaceDecoder, GRIDS } from "./blazeface.js";
import { type Decoder, type Face, merge, Output } from "./candidates.js";
import type { NetworkCard } from "./card.js";
import type { Point } from "./contract.js";
import { Encoder } from "./encode.js";
import { InputError, ModelCardError, ModelContractError } from "./errors.js";
import { checkImage, image, MAX_PIXELS, type Image } from "./image.js";
import type { Network, TensorData } from "./network.js";
import { FastResize } from "./resize_fast.js";
import { roundEven } from "./rounding.js";
import { YuNetDecoder } from "./yunet.js";

/** Intersection over union above which two candidates are one face; the value of both networks' authors. */
const MAX_OVERLAP = 0.3;

/** Choose the decoder that a detector's card names; throws ModelCardError for an unknown method. */
export function decoderOf(
  method: string,
  height: number,
  width: number,
  shapes: ReadonlyMap<string, readonly number[]>,
): Decoder {
  if (method === "yunet") return new YuNetDecoder(height, width, shapes);
  if (Object.hasOwn(GRIDS, method)) return new BlazeFaceDecoder(method, height, width, shapes);
  const known = ["yunet", ...Object.keys(GRIDS)].join(", ");
  throw new ModelCardError(`network card: expected one of the detection methods ${known}, found '${method}'`, "update this client");
}

/** Size of the part of a detector's input that a frame fills, from its upper left corner on: height and width. */
export function canvasSize(rows: number, columns: number, height: number, width: number): readonly [number, number] {
  const shrink = Math.min(height / rows, width / columns);
  return [
    Math.min(height, Math.max(1, roundEven(rows * shrink))),
    Math.min(width, Math.max(1, roundEven(columns * shrink))),
  ];
}

/**
 * Decode a detector's outputs for one frame.
 *
 * @param scaleX Frame pixels per pixel of the network's input, across.
 * @param scaleY The same, down.
 * @returns The faces in the frame's pixels, the best score first.
 */
export function facesOf(
  decoder: Decoder,
  outputs: ReadonlyMap<string, Output>,
  minScore: number,
  scaleX: number,
  scaleY: number,
): Face[] {
  const candidates = decoder.decode(outputs, minScore).map((face): Face => ({
    box: [face.box[0] * scaleX, face.box[1] * scaleY, face.box[2] * scaleX, face.box[3] * scaleY],
    landmarks: face.landmarks.map(([x, y]): Point => [x * scaleX, y * scaleY]),
    score: face.score,
  }));
  return merge(candidates, MAX_OVERLAP, decoder.blends);
}

/** Finds faces and their landmarks. One detector processes one frame at a time. */
export class Detector {
  /** Lowest score of a face. */
  readonly minScore: number;
  private readonly decoder: Decoder;
  private readonly encoder: Encoder;
  private readonly canvas: Image;
  private resize: FastResize | undefined;

  /**
   * @param network The detector's network; its outputs are in the order of the card.
   * @param card Its card.
   * @param options.minScore Lowest score of a face, above 0 and up to 1; the method's own by default.
   * @throws ModelCardError if the card names an unknown method.
   * @throws ModelContractError if the network's outputs do not fit the method.
   * @throws InputError if `minScore` is outside its range.
   */
  constructor(
    private readonly network: Network,
    private readonly card: NetworkCard,
    options: { readonly minScore?: number } = {},
  ) {
    const { input } = card;
    const [tensor] = network.inputs;
    if (!tensor || network.inputs.length !== 1 || network.outputs.length !== card.outputs.length) {
      throw new ModelContractError(
        `expected 1 input and ${card.outputs.length} outputs, as stated in the card, found ${network.inputs.length} and ${network.outputs.length}`,
      );
    }
    const shapes = new Map(card.outputs.map((name, i) => [name, network.outputs[i]!.shape]));
    this.decoder = decoderOf(card.method, input.height, input.width, shapes);
    this.minScore = options.minScore ?? this.decoder.score;
    if (!(this.minScore > 0 && this.minScore <= 1)) {
      throw new InputError(`expected a lowest score above 0 and up to 1, found ${this.minScore}`);
    }
    this.encoder = new Encoder(input, tensor);
    this.canvas = image(input.height, input.width);
  }

  /**
   * Find the faces of a frame.
   *
   * @param frame RGB image; each side 16 px or more, at most 40 million pixels.
   * @returns The faces, the best score first; may be empty.
   * @throws InputError if the frame is malformed or too large.
   */
  async detect(frame: Image): Promise<Face[]> {
    const codes = this.prepare(frame);
    const values = await this.network.run([codes]);
    return this.decode(values, frame.height, frame.width);
  }

  /** Resize and encode a frame: the first step of `detect`, for measurements. */
  prepare(frame: Image): TensorData {
    checkImage(frame, 3);
    if (frame.height * frame.width > MAX_PIXELS) {
      throw new InputError(`expected a frame of at most ${MAX_PIXELS} pixels, found ${frame.height}x${frame.width}`);
    }
    if (this.resize?.rows !== frame.height || this.resize.columns !== frame.width) {
      const { height, width } = this.card.input;
      this.resize = new FastResize(frame.height, frame.width, ...canvasSize(frame.height, frame.width, height, width));
      this.canvas.data.fill(0);
    }
    this.resize.run(frame, 0, 0, this.canvas);
    return this.encoder.encode(this.canvas);
  }

  /** Decode the network's outputs for a frame of (rows, columns): the last step of `detect`. */
  decode(values: readonly TensorData[], rows: number, columns: number): Face[] {
    const outputs = new Map(this.card.outputs.map((name, i) => [name, new Output(values[i]!, this.network.outputs[i]!)]));
    const { height, width } = this.card.input;
    const [usedRows, usedColumns] = canvasSize(rows, columns, height, width);
    return facesOf(this.decoder, outputs, this.minScore, columns / usedColumns, rows / usedRows);
  }
}

/** Choose the face with the largest box, the usual one in front of a door; undefined if there is no face. */
export function largest(faces: readonly Face[]): Face | undefined {
  const area = (face: Face) => face.box[2] * face.box[3];
  return faces.reduce<Face | undefined>((best, face) => (best && area(best) >= area(face) ? best : face), undefined);
}
