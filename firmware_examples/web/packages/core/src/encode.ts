/** Conversion of pixels to the codes of an input tensor; affine quantization, real = scale * (code - zeroPoint). */

import type { InputContract } from "./contract.js";
import { channelsOf } from "./contract.js";
import { InputError, ModelContractError } from "./errors.js";
import type { Image } from "./image.js";
import { LIMITS, allocate, sizeOf, type TensorData, type TensorInfo } from "./network.js";

/** Type and quantization of an input tensor. */
export type InputTensor = Pick<TensorInfo, "dtype" | "scale" | "zeroPoint">;

// Half steps are rounded down, so that 256 pixel values get 256 different codes even if each is halfway between two codes.
const TIE = 0.5 + 1e-4;

/**
 * Compute the code of each pixel value.
 *
 * @returns 256 codes per channel, in the tensor's type: the code of pixel p in channel c is at 256 * c + p.
 * @throws ModelContractError if the tensor is neither float32 nor a quantized int8, uint8 or int16.
 */
export function codeTable(contract: InputContract, tensor: InputTensor): TensorData {
  const { dtype, scale, zeroPoint } = tensor;
  if (dtype !== "float32" && (dtype === "int32" || !(scale > 0))) {
    throw new ModelContractError(`expected a float32, int8, uint8 or int16 input tensor, found ${dtype} scale ${scale}`);
  }
  const channels = channelsOf(contract.color);
  const table = allocate(dtype, 256 * channels);
  for (let channel = 0; channel < channels; channel++) {
    const mean = contract.mean[channel]!;
    const divisor = contract.scale[channel]!;
    for (let pixel = 0; pixel < 256; pixel++) {
      const real = Math.fround((pixel - mean) / divisor);
      table[256 * channel + pixel] = dtype === "float32" ? real : integerCode(real, scale, zeroPoint, LIMITS[dtype]);
    }
  }
  return table;
}

function integerCode(real: number, scale: number, zeroPoint: number, limits: readonly [number, number]): number {
  const code = Math.ceil(real / scale + zeroPoint - TIE);
  return Math.min(Math.max(code, limits[0]), limits[1]);
}

/** Converts images of one size to the codes of one input tensor, without allocation per image. */
export class Encoder {
  /** Codes of the last image; the next call of `encode` overwrites them. */
  readonly codes: TensorData;
  private readonly table: TensorData;

  /**
   * @param contract Input contract of the network.
   * @param tensor Type, quantization and, if known, shape of the input tensor.
   * @throws ModelContractError if the tensor does not match the contract.
   */
  constructor(
    private readonly contract: InputContract,
    tensor: InputTensor & { readonly shape?: readonly number[] },
  ) {
    const shape = [1, contract.height, contract.width, channelsOf(contract.color)];
    if (tensor.shape && tensor.shape.join() !== shape.join()) {
      throw new ModelContractError(
        `expected an input tensor of shape ${shape.join("x")}, found ${tensor.shape.join("x")}`,
        "the contract and the graph must agree",
      );
    }
    this.table = codeTable(contract, tensor);
    this.codes = allocate(tensor.dtype, sizeOf(shape));
  }

  /**
   * Encode one image.
   *
   * @param pixels An RGB image (gray if the contract is) of the contract's size.
   * @returns `codes`.
   * @throws InputError if the image has another size.
   */
  encode(pixels: Image): TensorData {
    const { height, width, color } = this.contract;
    const channels = channelsOf(color);
    const { codes, table } = this;
    if (pixels.height !== height || pixels.width !== width || pixels.channels !== channels || pixels.data.length !== codes.length) {
      throw new InputError(
        `expected an image of (${height}, ${width}, ${channels}), found (${pixels.height}, ${pixels.width}, ${pixels.channels})`,
        "resize it with fit, or align the face",
      );
    }
    const data = pixels.data;
    if (channels === 1) {
      for (let i = 0; i < data.length; i++) codes[i] = table[data[i]!]!;
      return codes;
    }
    // The network's channel c reads the image's channel c, or 2 - c for BGR.
    const first = color === "bgr" ? 2 : 0;
    const last = 2 - first;
    for (let i = 0; i < data.length; i += 3) {
      codes[i] = table[data[i + first]!]!;
      codes[i + 1] = table[256 + data[i + 1]!]!;
      codes[i + 2] = table[512 + data[i + last]!]!;
    }
    return codes;
  }
}
