import { expect, test } from "vitest";
import { Encoder, image, type InputContract } from "../src/index.js";

const contract: InputContract = { height: 16, width: 16, color: "rgb", mean: [0, 0, 0], scale: [1, 1, 1] };

test("a full-range uint8 tensor receives the pixels as they are", () => {
  const pixels = image(16, 16);
  pixels.data.forEach((_, i) => (pixels.data[i] = i % 256));
  const codes = new Encoder(contract, { dtype: "uint8", scale: 1, zeroPoint: 0 }).encode(pixels);
  expect([...codes]).toEqual([...pixels.data]);
});

test("an image of another size is refused", () => {
  const encoder = new Encoder(contract, { dtype: "uint8", scale: 1, zeroPoint: 0 });
  expect(() => encoder.encode(image(17, 16))).toThrow("expected an image of (16, 16, 3)");
});
