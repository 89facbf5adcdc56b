import { InputError } from "./errors.js";
import type { TensorData } from "./network.js";

/**
 * Convert the output tensor to a unit embedding; the quantization scale cancels out.
 *
 * @param codes The output tensor, D values.
 * @param zeroPoint Quantization zero point of the tensor, 0 for a float tensor.
 * @param out Array of D values that receives the embedding; a new one by default.
 * @returns D values, L2 norm 1 within 1e-5.
 * @throws InputError if the output is all zero or not finite, so that it has no direction.
 */
export function unitEmbedding(codes: TensorData, zeroPoint: number, out = new Float32Array(codes.length)): Float32Array {
  let squares = 0;
  for (let i = 0; i < codes.length; i++) {
    const value = Math.fround(codes[i]! - zeroPoint);
    out[i] = value;
    squares += value * value;
  }
  const norm = Math.sqrt(Math.fround(squares));
  if (!(norm > 0 && norm < Infinity)) {
    throw new InputError(
      `expected an embedding with a direction, found norm ${norm}`,
      "the network's output is all zero or not finite for this image; check the input contract",
    );
  }
  const divisor = Math.fround(norm);
  for (let i = 0; i < out.length; i++) out[i] = out[i]! / divisor;
  return out;
}
