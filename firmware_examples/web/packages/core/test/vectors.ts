/** Reading of the vectors that all clients share; docs/decisions/0034-clients.md describes them. */

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { describe, expect, test } from "vitest";

import { image, type Image, type Point } from "../src/index.js";

const FOLDER =
  process.env.CLIENT_VECTORS ?? fileURLToPath(new URL("../../../../../tests/vectors/clients", import.meta.url));
const ARRAYS = {
  int8: Int8Array,
  uint8: Uint8Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

export interface Coded {
  readonly dtype: keyof typeof ARRAYS;
  readonly shape: readonly number[];
  readonly data: string;
}

export interface Case<Input, Expected> {
  readonly name: string;
  readonly input: Input;
  readonly expected?: Expected;
  /** Reason of the refusal; the client must throw an error. */
  readonly refused?: string;
}

/** Run every case of a suite; a case that is refused in Python must be refused here. */
export function suite<Input, Expected>(
  name: string,
  run: (input: Input) => Partial<Expected> | Promise<Partial<Expected>>,
  compare: (actual: Partial<Expected>, expected: Expected, tolerance: Record<string, number>) => void,
): void {
  const path = `${FOLDER}/${name}.json`;
  // In CI a missing suite is a failure: nothing is skipped silently.
  describe.skipIf(!existsSync(path) && process.env.CI !== "true")(`${name}.json`, () => {
    if (!existsSync(path)) {
      test("exists", () => expect.fail(`expected the vectors ${path}, found none; run python -m tests.vectors.clients.make_vectors`));
      return;
    }
    const { cases, tolerance = {} } = JSON.parse(readFileSync(path, "utf8")) as {
      cases: Case<Input, Expected>[];
      tolerance?: Record<string, number>;
    };
    test.each(cases)("$name", async ({ input, expected, refused }) => {
      if (refused !== undefined) {
        await expect(async () => run(input)).rejects.toThrow();
        return;
      }
      compare(await run(input), expected!, tolerance);
    });
  });
}

export function array(coded: Coded): Int8Array | Uint8Array | Int32Array | Float32Array | Float64Array {
  const bytes = Uint8Array.from(Buffer.from(coded.data, "base64"));
  return new ARRAYS[coded.dtype](bytes.buffer);
}

export function imageOf(coded: Coded): Image {
  const [height, width, channels] = coded.shape;
  return image(height!, width!, channels, array(coded) as Uint8Array);
}

export function pointsOf(value: Coded | readonly Point[]): Point[] {
  if (!("data" in value)) return [...value];
  const flat = array(value);
  return Array.from({ length: flat.length / 2 }, (_, i): Point => [flat[2 * i]!, flat[2 * i + 1]!]);
}

/** Check that two arrays have the same length and differ by at most `tolerance`. */
export function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 0): void {
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
  expect(worst).toBeLessThanOrEqual(tolerance);
}
