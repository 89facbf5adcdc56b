import type { ModelCard } from "./card.js";
import { unitEmbedding } from "./embed.js";
import { Encoder } from "./encode.js";
import { ModelContractError } from "./errors.js";
import { channelsOf } from "./contract.js";
import { checkImage, type Image } from "./image.js";
import { type Network, sizeOf } from "./network.js";
import { fit } from "./resize.js";

/** Computes unit embeddings of aligned crops. One embedder processes one crop at a time. */
export class Embedder {
  private readonly encoder: Encoder;
  private readonly zeroPoint: number;

  /**
   * @param network The network of a model file; check its golden vectors first, as `openNetwork` of a runtime does.
   * @param card Card of that file.
   * @throws ModelContractError if the network does not match its card.
   */
  constructor(
    private readonly network: Network,
    readonly card: ModelCard,
  ) {
    const [input] = network.inputs;
    const [output] = network.outputs;
    if (!input || !output || network.inputs.length !== 1 || network.outputs.length !== 1 || sizeOf(output.shape) !== card.dimension) {
      throw new ModelContractError(
        `expected one input and one output of ${card.dimension} values, as stated in the card, found ${network.inputs.length} and ${network.outputs.length}`,
      );
    }
    this.encoder = new Encoder(card.input, input);
    this.zeroPoint = output.zeroPoint;
  }

  /** Length D of the embedding. */
  get dimension(): number {
    return this.card.dimension;
  }

  /**
   * Compute the unit embedding of one aligned crop.
   *
   * @param face RGB image (gray for a gray network) of any size; cropped around its centre to the card's aspect ratio and
   *   resized if the size differs.
   * @returns D values, L2 norm 1 within 1e-5; a new array.
   * @throws InputError if the crop is malformed or has a side under 16 px, or the output has no direction.
   */
  async embed(face: Image): Promise<Float32Array> {
    const { height, width, color } = this.card.input;
    checkImage(face, channelsOf(color));
    const codes = this.encoder.encode(fit(face, height, width));
    const [output] = await this.network.run([codes]);
    return unitEmbedding(output!, this.zeroPoint);
  }
}
