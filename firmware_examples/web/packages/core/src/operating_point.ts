/** Operating points: thresholds with the evidence for their error rates (ISO/IEC 19795-1). */

import { ModelCardError } from "./errors.js";
import { JsonFields, list, number } from "./json_fields.js";

/** Lowest FMR that a point may claim: no data set is large enough to prove less. */
const LEAST_FMR = 1e-15;

/** A cosine threshold with its measured rates. */
export interface OperatingPoint {
  /** Cosine similarity; a comparison matches at or above it. */
  readonly threshold: number;
  /** False match rate per comparison that is claimed for the threshold. */
  readonly fmr: number;
  /** False non-match rate, measured. */
  readonly fnmr: number;
  readonly matedTrials: number;
  readonly nonMatedTrials: number;
  /** Confidence that the true FMR is at most `fmr`; undefined if the point was claimed by the earlier rule. */
  readonly fmrConfidence?: number | undefined;
  /** Confidence interval of the FMR (low, high). */
  readonly fmrInterval?: readonly [number, number] | undefined;
  readonly subjects?: number | undefined;
  /** Number of independent comparisons that would give the FMR the same variance. */
  readonly effectiveComparisons?: number | undefined;
}

/**
 * Check an operating point and return it.
 *
 * @throws ModelCardError if a rate or threshold is outside its range, or the evidence does not support the claim.
 */
export function checkPoint(point: OperatingPoint): OperatingPoint {
  const { threshold, fmr, fnmr, matedTrials, nonMatedTrials, fmrInterval } = point;
  if (!(threshold >= -1 && threshold <= 1)) throw refused(`expected a cosine threshold in -1..1, found ${threshold}`);
  if (!(fmr >= LEAST_FMR && fmr <= 1 && fnmr >= 0 && fnmr <= 1)) {
    throw refused(`expected FMR in ${LEAST_FMR}..1 and FNMR in 0..1, found ${fmr}, ${fnmr}`);
  }
  if (!(matedTrials >= 0)) throw refused(`expected 0 or more mated comparisons, found ${matedTrials}`);
  const least = (3 / fmr) * (1 - 1e-12);
  if (!(nonMatedTrials >= least)) {
    throw refused(`a claim at FMR ${fmr} needs ${Math.ceil(3 / fmr)} non-mated comparisons (rule of three), found ${nonMatedTrials}`);
  }
  if (fmrInterval && !(fmrInterval[0] >= 0 && fmrInterval[0] <= fmrInterval[1] && fmrInterval[1] <= 1)) {
    throw refused(`expected an FMR interval in 0..1, found ${fmrInterval.join("..")}`);
  }
  if (point.fmrConfidence !== undefined) checkClaim(point, point.fmrConfidence, least);
  return point;
}

/** Check that the evidence of the FMR's upper limit is present and sufficient. */
function checkClaim(point: OperatingPoint, confidence: number, least: number): void {
  if (!(confidence > 0 && confidence < 1)) throw refused(`expected a confidence above 0 and under 1, found ${confidence}`);
  const subjects = point.subjects ?? 0;
  const pairs = Math.floor((subjects * (subjects - 1)) / 2);
  const effective = point.effectiveComparisons ?? NaN;
  if (!(effective >= least && effective <= point.nonMatedTrials && pairs >= least)) {
    throw refused(
      `a claim at FMR ${point.fmr} needs ${Math.ceil(least)} pairs of subjects and as many effective comparisons, found ${subjects} subjects and ${effective} effective comparisons`,
    );
  }
  if (!point.fmrInterval) throw refused(`expected an FMR interval for a claim at FMR ${point.fmr}, found none`);
}

function refused(message: string): ModelCardError {
  return new ModelCardError(`operating point: ${message}`);
}

/** Return the FMR that the evidence limits: `fmr`, or the end of its interval if the earlier rule claimed less. */
export function fmrLimit(point: OperatingPoint): number {
  if (point.fmrConfidence !== undefined || !point.fmrInterval) return point.fmr;
  return Math.max(point.fmr, point.fmrInterval[1]);
}

/**
 * Choose the point with the greatest FMR at which a search among N templates keeps the allowed FPIR. A search makes N
 * comparisons, so the limit of each one's FMR may be 1 - (1 - FPIR)^(1/N).
 *
 * @param fpir Allowed share of searches that return a subject for a person who is not enrolled, above 0 and under 1.
 * @param references N, 1 or more.
 * @throws ModelCardError if a value is outside its range, or no point is strict enough.
 */
export function pointForIdentification(points: readonly OperatingPoint[], fpir: number, references: number): OperatingPoint {
  if (!(fpir > 0 && fpir < 1 && references >= 1)) {
    throw new ModelCardError(`expected FPIR above 0 and under 1 and 1 or more references, found ${fpir} and ${references}`);
  }
  const maxFmr = -Math.expm1(Math.log1p(-fpir) / references);
  const fitting = points.filter((point) => fmrLimit(point) <= maxFmr);
  if (maxFmr < LEAST_FMR || fitting.length === 0) {
    const known = points.map(fmrLimit).sort((a, b) => a - b).join(", ") || "none";
    throw new ModelCardError(
      `an FPIR of ${fpir} over ${references} references needs an operating point at FMR ${maxFmr.toPrecision(3)} or less, found ${known}`,
      "measure one with edge-convert evaluate --write-card",
    );
  }
  return fitting.reduce((best, point) => (isBetter(point, best) ? point : best));
}

function isBetter(point: OperatingPoint, best: OperatingPoint): boolean {
  const [limit, most] = [fmrLimit(point), fmrLimit(best)];
  return limit > most || (limit === most && point.threshold < best.threshold);
}

/** Read an operating point from a card's JSON; throws ModelCardError if a field is missing, malformed or unsupported. */
export function parsePoint(value: unknown): OperatingPoint {
  const fields = new JsonFields(value, "operating point");
  checkFurtherEvidence(fields);
  return checkPoint({
    threshold: fields.read("threshold", number),
    fmr: fields.read("fmr", number),
    fnmr: fields.read("fnmr", number),
    matedTrials: fields.read("mated_trials", number),
    nonMatedTrials: fields.read("non_mated_trials", number),
    fmrConfidence: fields.optional("fmr_confidence", number),
    fmrInterval: fields.optional("fmr_interval", interval),
    subjects: fields.optional("subjects", number),
    effectiveComparisons: fields.optional("effective_comparisons", number),
  });
}

/** Check the evidence that this client does not use: a malformed card is refused as a whole. */
function checkFurtherEvidence(fields: JsonFields): void {
  const [fmr, threshold] = [fields.read("fmr", number), fields.read("threshold", number)];
  const within = (name: string, low: number, high: number) => {
    const measured = fields.optional(name, number);
    if (measured !== undefined && !(measured >= low && measured <= high)) {
      throw refused(`expected ${name} in ${low}..${high}, found ${measured}`);
    }
  };
  within("fmr_measured", 0, fmr);
  within("fnmr_pooled", 0, 1);
  within("measured_fnmr", 0, 1);
  within("measured_threshold", -1, threshold);
  const rates = fields.optional("fnmr_interval", interval);
  if (rates && !(rates[0] >= 0 && rates[0] <= rates[1] && rates[1] <= 1)) throw refused(`expected an FNMR interval in 0..1, found ${rates.join("..")}`);
}

function interval(value: unknown): readonly [number, number] {
  const bounds = list(value).map(number);
  if (bounds.length !== 2) throw new TypeError(`expected an interval [low, high], found ${bounds.length} numbers`);
  return [bounds[0]!, bounds[1]!];
}
