/** Checked reading of the fields of a JSON object, for cards and the evidence in them. */

import { ModelCardError } from "./errors.js";

export type JsonObject = Readonly<Record<string, unknown>>;

/** Checks a JSON value and converts it; throws TypeError for a wrong one. */
type Convert<Value> = (value: unknown) => Value;

/** Fields of one JSON object. */
export class JsonFields {
  private readonly value: JsonObject;

  /**
   * @param value The object, as `JSON.parse` returns it.
   * @param name Name of the object in error messages, such as `model card`.
   * @throws ModelCardError if `value` is not an object.
   */
  constructor(
    value: unknown,
    private readonly name: string,
  ) {
    if (!isObject(value)) throw new ModelCardError(`${name}: malformed field: expected an object, found ${shown(value)}`);
    this.value = value;
  }

  /** Return true if the field is present and not null. */
  has(key: string): boolean {
    return Object.hasOwn(this.value, key) && this.value[key] !== null;
  }

  /** Convert one field that is required; throws ModelCardError if it is missing or malformed. */
  read<Value>(key: string, convert: Convert<Value>): Value {
    if (!Object.hasOwn(this.value, key)) throw new ModelCardError(`${this.name}: expected the field '${key}', found none`);
    try {
      return convert(this.value[key]);
    } catch (error) {
      if (error instanceof TypeError) throw new ModelCardError(`${this.name}: malformed field '${key}': ${error.message}`);
      throw error;
    }
  }

  /** Convert one field as `read` does; the default if it is missing. */
  readOr<Value>(key: string, convert: Convert<Value>, missing: Value): Value {
    return Object.hasOwn(this.value, key) ? this.read(key, convert) : missing;
  }

  /** Convert one field as `read` does; undefined if it is missing or null. */
  optional<Value>(key: string, convert: Convert<Value>): Value | undefined {
    return this.has(key) ? this.read(key, convert) : undefined;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}

export function text(value: unknown): string {
  if (typeof value !== "string") throw new TypeError(`${shown(value)} is not text`);
  return value;
}

export function number(value: unknown): number {
  if (typeof value !== "number") throw new TypeError(`${shown(value)} is not a number`);
  return value;
}

export function wholeNumber(value: unknown): number {
  if (!Number.isInteger(value)) throw new TypeError(`${shown(value)} is not a whole number`);
  return value as number;
}

export function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new TypeError(`${shown(value)} is not a list`);
  return value;
}

export function jsonObject(value: unknown): JsonObject {
  if (!isObject(value)) throw new TypeError(`${shown(value)} is not an object`);
  return value;
}

/** Decode standard base64; throws TypeError for anything else. */
export function base64(value: unknown): Uint8Array {
  const coded = text(value);
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(coded)) throw new TypeError("not base64");
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const padding = coded.endsWith("==") ? 2 : coded.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((coded.length / 4) * 3 - padding);
  for (let i = 0, to = 0; i < coded.length; i += 4) {
    let bits = 0;
    for (let k = 0; k < 4; k++) bits = (bits << 6) | Math.max(0, digits.indexOf(coded[i + k]!));
    for (let shift = 16; shift >= 0 && to < bytes.length; shift -= 8) bytes[to++] = bits >> shift;
  }
  return bytes;
}
