/** Limits for the quality of a sample, and hints for the person in front of the camera. */

import type { Detail } from "./detail.js";
import { AcquisitionError, InputError } from "./errors.js";
import type { Quality } from "./quality.js";

/** Limits beyond which a sample is refused; docs/explanation/faces.md states the origin of each number. */
export interface Limits {
  /** Below, the crop is mostly interpolated. */
  readonly minEyeDistancePx: number;
  /** Below, the face is blurred. */
  readonly minSharpness: number;
  readonly minBrightness: number;
  readonly maxBrightness: number;
  /** Below, there is fog or the lens is covered. */
  readonly minContrast: number;
  /** Above, large parts of the face show no detail. */
  readonly maxExposedWrongly: number;
  readonly maxYawDeg: number;
  readonly maxPitchDeg: number;
  readonly maxRollDeg: number;
  /** Above, the landmarks are not those of a face. */
  readonly maxLandmarkMisfit: number;
  /** Below, eyes may be covered; 0 never refuses. */
  readonly minEyeContrast: number;
  /** Below, the detector itself is uncertain. */
  readonly minDetection: number;
  /** Above, there are two people. */
  readonly maxRival: number;
  /** Below, an eye is covered; 0 does not measure. */
  readonly minEyeDetail: number;
  /** Below, the mouth is covered; 0 does not measure. */
  readonly minMouthDetail: number;
  /** Below, the face is blurred in one direction or in all; 0 does not measure. */
  readonly minDetailSharpness: number;
  /** Above, one half of the face is in the dark; infinity does not measure. */
  readonly maxSideLight: number;
}

/** Limits for recognition. */
export const RECOGNITION_LIMITS: Limits = {
  minEyeDistancePx: 30,
  minSharpness: 0.12,
  minBrightness: 40,
  maxBrightness: 220,
  minContrast: 12,
  maxExposedWrongly: 0.4,
  maxYawDeg: 45,
  maxPitchDeg: 40,
  maxRollDeg: 45,
  maxLandmarkMisfit: 0.35,
  minEyeContrast: 0,
  minDetection: 0.5,
  maxRival: 0.6,
  minEyeDetail: 0,
  minMouthDetail: 0,
  minDetailSharpness: 0,
  maxSideLight: Infinity,
};

/**
 * Limits for enrolment, which are stricter: a template of a covered or blurred face matches other faces that are covered
 * or blurred in the same way.
 */
export const ENROLMENT_LIMITS: Limits = {
  ...RECOGNITION_LIMITS,
  minEyeDetail: 2.9,
  minMouthDetail: 5.9,
  minDetailSharpness: 0.34,
  maxSideLight: 0.82,
};

/** Check if a limit needs the measures of `Detail`. */
export function judgesDetail(limits: Limits): boolean {
  const lowest = Math.max(limits.minEyeDetail, limits.minMouthDetail, limits.minDetailSharpness);
  return lowest > 0 || limits.maxSideLight < Infinity;
}

/** Reason for not using a sample: a failure to acquire (ISO/IEC 19795-1). */
export interface Refusal {
  /** Stable identifier for programs and statistics, such as `too_far`. */
  readonly reason: string;
  /** Expected and measured value. */
  readonly message: string;
  /** Instruction for the person in front of the camera. */
  readonly hint: string;
}

/** Convert a refusal to an error. */
export function refusalError({ message, reason, hint }: Refusal): AcquisitionError {
  return new AcquisitionError(message, reason, hint);
}

/** One rule: reason, whether the sample breaks it, message and hint. */
type Rule = readonly [reason: string, broken: boolean, message: string, hint: string];

/**
 * List every reason not to use a sample, the most helpful one first; empty if the sample is good enough.
 *
 * @throws InputError if the limits judge detail, but it was not measured.
 */
export function refusals(quality: Quality, limits: Limits = RECOGNITION_LIMITS): Refusal[] {
  if (!judgesDetail(limits)) return broken(rulesOf(quality, limits));
  if (!quality.detail) {
    throw new InputError(
      "expected a quality with detail, as these limits judge it, found none",
      "call assess with { detail: true }",
    );
  }
  return [...broken(rulesOf(quality, limits)), ...detailRefusals(quality.detail, limits)];
}

/** List the reasons not to use a sample that follow from its detail alone. */
export function detailRefusals(d: Detail, m: Limits): Refusal[] {
  const ratio = Math.exp(d.sideLight).toFixed(1);
  return broken([
    ["uneven_light", d.sideLight > m.maxSideLight, `one half of the face is ${ratio} times as bright as the other`, EVEN_LIGHT],
    ["blurred", d.sharpness < m.minDetailSharpness, below("sharpness in every direction", d.sharpness, m.minDetailSharpness), "hold still"],
    ["eyes_covered", d.eyes < m.minEyeDetail, below("eye detail", d.eyes, m.minEyeDetail), "take off dark glasses, keep hair off the eyes"],
    ["mouth_covered", d.mouth < m.minMouthDetail, below("mouth detail", d.mouth, m.minMouthDetail), "uncover mouth and nose"],
  ]);
}

const EVEN_LIGHT = "turn so that light comes evenly from the front";

function rulesOf(q: Quality, m: Limits): Rule[] {
  const { yawDeg, pitchDeg, rollDeg } = q.pose;
  const turned = Math.abs(yawDeg) > m.maxYawDeg || Math.abs(pitchDeg) > m.maxPitchDeg;
  return [
    ["several_faces", q.rival > m.maxRival, `another face is ${percent(q.rival)} as large`, "one person at a time"],
    ["too_far", q.eyeDistancePx < m.minEyeDistancePx, below("eye distance in px", q.eyeDistancePx, m.minEyeDistancePx), "come closer"],
    ["too_dark", q.brightness < m.minBrightness, below("brightness", q.brightness, m.minBrightness), "more light on the face"],
    ["too_bright", q.brightness > m.maxBrightness, above("brightness", q.brightness, m.maxBrightness), "less light on the face"],
    ["exposure", q.exposedWrongly > m.maxExposedWrongly, `${percent(q.exposedWrongly)} of the face is black or white`, EVEN_LIGHT],
    ["low_contrast", q.contrast < m.minContrast, below("contrast", q.contrast, m.minContrast), "clean the lens, move out of the haze"],
    ["turned_away", turned, `the head is turned ${yawDeg.toFixed(0)} degrees sideways and ${pitchDeg.toFixed(0)} up`, "look at the camera"],
    ["tilted", Math.abs(rollDeg) > m.maxRollDeg, `the head is tilted ${rollDeg.toFixed(0)} degrees`, "hold the head upright"],
    ["blurred", q.sharpness < m.minSharpness, below("sharpness", q.sharpness, m.minSharpness), "hold still"],
    ["eyes_covered", q.eyeContrast < m.minEyeContrast, below("eye contrast", q.eyeContrast, m.minEyeContrast), "take off dark glasses, keep hair off the eyes"],
    ["face_covered", q.landmarkMisfit > m.maxLandmarkMisfit, `the landmarks differ from a face's by ${q.landmarkMisfit.toFixed(2)} eye distances`, "uncover the face"],
    ["uncertain", q.detection < m.minDetection, below("detector's score", q.detection, m.minDetection), "look at the camera"],
  ];
}

function broken(rules: readonly Rule[]): Refusal[] {
  return rules.filter(([, isBroken]) => isBroken).map(([reason, , message, hint]) => ({ reason, message, hint }));
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

function below(measure: string, value: number, limit: number): string {
  return `expected a ${measure} of ${limit} or more, found ${value.toFixed(2)}`;
}

function above(measure: string, value: number, limit: number): string {
  return `expected a ${measure} of at most ${limit}, found ${value.toFixed(2)}`;
}
