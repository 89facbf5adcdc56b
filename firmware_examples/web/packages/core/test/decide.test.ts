import { describe, expect, test } from "vitest";

import {
  decide,
  decisionPolicy,
  effectiveThreshold,
  identify,
  knownTime,
  quantize,
  quantizeProbe,
  type References,
  type Subject,
  unitVector,
  verify,
} from "../src/index.js";

const point = { threshold: 0.5, fmr: 1e-3, fnmr: 0.01, matedTrials: 1000, nonMatedTrials: 100_000 };
const policy = decisionPolicy({ operatingPoints: [point], fpir: 0.01, margin: 0.05, retryBand: 0.02 });
const time = knownTime(1000, 900);

const subject = (name: string, changes: Partial<Subject> = {}): Subject => ({
  name,
  validFromS: 0,
  validUntilS: 0,
  revoked: false,
  ...changes,
});

function references(subjects: Subject[], rows: number[][]): References {
  const stored = rows.map((row) => quantize(unitVector(Float32Array.from(row), row.length)));
  return {
    subjects,
    policy,
    templates: {
      dimension: rows[0]!.length,
      rows: Int8Array.from(stored.flatMap(({ row }) => [...row])),
      scales: Float32Array.from(stored, ({ scale }) => scale),
      owners: Uint32Array.from(rows, (_, i) => i),
    },
  };
}

const probe = (...values: number[]) => quantizeProbe(unitVector(Float32Array.from(values), values.length));

describe("decide", () => {
  const limit = 0.5;
  test.each([
    ["no subject", [], "rejected", null],
    ["at the threshold", [0.5], "accepted", null],
    ["just below", [0.49], "retry", "close"],
    ["far below", [0.4], "rejected", null],
    ["two alike", [0.6, 0.58], "retry", "ambiguous"],
    ["two equal", [0.6, 0.6], "rejected", null],
    ["not a number", [NaN], "rejected", null],
  ] as const)("%s", (_, scores, decision, reason) => {
    const leaders = scores.map((score, index) => ({ subject: index, score }));
    expect(decide(leaders, { limit, margin: 0.05, retryBand: 0.02 })).toEqual({ decision, reason });
  });

  test("a subject's own threshold is used if it is stricter", () => {
    const own = new Map([[0, 0.7]]);
    expect(decide([{ subject: 0, score: 0.6 }], { limit, own }).decision).toBe("rejected");
  });
});

describe("identify and verify", () => {
  const rows = [[1, 0, 0, 0], [0, 1, 0, 0]];

  test("the best subject is accepted", () => {
    const answer = identify(references([subject("ann"), subject("ben")], rows), probe(0.1, 1, 0, 0), { time });
    expect(answer).toEqual({ decision: "accepted", subject: "ben", reason: null });
  });

  test.each([
    ["revoked", { revoked: true }],
    ["not yet valid", { validFromS: 1001 }],
    ["expired", { validUntilS: 1000 }],
  ])("a subject that is %s is rejected", (_, changes) => {
    const gallery = references([subject("ann", changes), subject("ben")], rows);
    expect(identify(gallery, probe(1, 0, 0, 0), { time }).decision).toBe("rejected");
    expect(verify(gallery, probe(1, 0, 0, 0), "ann", { time }).decision).toBe("rejected");
  });

  test("no subject whose validity ends is accepted while the clock is behind", () => {
    const gallery = references([subject("ann", { validUntilS: 5000 })], [rows[0]!]);
    expect(identify(gallery, probe(1, 0, 0, 0), { time: knownTime(0, 61) }).decision).toBe("rejected");
    expect(identify(gallery, probe(1, 0, 0, 0), { time: knownTime(0, 60) }).decision).toBe("accepted");
  });

  test("a threshold below the policy's is refused", () => {
    expect(() => effectiveThreshold(policy, 2, 0.4)).toThrow("expected a threshold of at least 0.5000");
    expect(effectiveThreshold(policy, 2, 0.6)).toBe(0.6);
  });

  test("a policy without evidence for this many templates is refused", () => {
    expect(() => effectiveThreshold(policy, 1000)).toThrow("needs an operating point at FMR");
  });
});
