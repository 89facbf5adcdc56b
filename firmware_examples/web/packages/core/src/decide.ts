/** The decision policy, and decisions on probes. A negative answer is a result, not an error; no result has a score. */

import { InputError, ModelCardError } from "./errors.js";
import { type OperatingPoint, pointForIdentification } from "./operating_point.js";
import { type Leader, leadersOf, type Probe, type Templates } from "./templates.js";

const MAX_POINTS = 64;
/** A clock that is behind by no more than this is taken as correct. */
const TOLERANCE_S = 60;

export type Decision = "accepted" | "rejected" | "retry" | "locked_out";

/**
 * Reason for the decision retry or locked out.
 *
 * - `close`: just under the threshold; a better capture may be accepted.
 * - `ambiguous`: two subjects have similar scores; a better capture may distinguish them.
 * - `wait`: too many failed attempts; wait before the next one.
 * - `disabled`: far too many failed attempts; an administrator must reset the counter.
 * - `counter`: the attempt counter is missing or not valid; an administrator must reset it.
 */
export type Reason = "close" | "ambiguous" | "wait" | "disabled" | "counter";

/** Result of an identification (1:N) or verification (1:1). */
export interface Answer {
  readonly decision: Decision;
  /** Name of the accepted subject, otherwise null. */
  readonly subject: string | null;
  /** The reason if the decision is retry or locked out, otherwise null. */
  readonly reason: Reason | null;
}

/** Options that determine how a gallery decides. */
export interface DecisionPolicy {
  /** Operating points of the model's card, 1..64. */
  readonly operatingPoints: readonly OperatingPoint[];
  /** Largest share of identifications of people who are not enrolled that accept a subject, above 0 and under 1. */
  readonly fpir: number;
  /** Smallest difference between the best subject's score and the next one's, 0..1; retry if it is smaller. */
  readonly margin: number;
  /** Scores up to this far below the threshold give retry instead of rejected, 0..1. */
  readonly retryBand: number;
}

/** Check a policy; the default margin is 0, the default retry band 0.02. Throws InputError if a value is outside its range. */
export function decisionPolicy(
  options: Pick<DecisionPolicy, "operatingPoints" | "fpir"> & Partial<DecisionPolicy>,
): DecisionPolicy {
  const policy = { margin: 0, retryBand: 0.02, ...options };
  const count = policy.operatingPoints.length;
  if (count < 1 || count > MAX_POINTS) {
    throw new InputError(`expected 1..${MAX_POINTS} operating points, found ${count}`, "edge-convert evaluate --write-card measures them");
  }
  if (!(policy.fpir > 0 && policy.fpir < 1)) throw new InputError(`expected FPIR above 0 and under 1, found ${policy.fpir}`, "for example 0.01");
  for (const name of ["margin", "retryBand"] as const) {
    const value = policy[name];
    if (!(value >= 0 && value <= 1)) throw new InputError(`expected ${name} to be a cosine in 0..1, found ${value}`);
  }
  return policy;
}

/** Return a policy's threshold for a search among N templates, 0 or more; throws ModelCardError if no evidence covers them. */
export function policyThreshold(policy: DecisionPolicy, references: number): number {
  return pointForIdentification(policy.operatingPoints, policy.fpir, Math.max(1, references)).threshold;
}

/**
 * Return the caller's threshold if it is stricter than the policy's, otherwise the policy's.
 *
 * @param policy The gallery's policy; undefined if it has none.
 * @param references Number of templates compared.
 * @param given The caller's threshold, a cosine; undefined for the policy's.
 * @throws InputError if there is neither a policy nor a threshold, or the threshold is not a cosine or below the policy's.
 * @throws ModelCardError if the policy's evidence does not cover this many templates.
 */
export function effectiveThreshold(policy: DecisionPolicy | undefined, references: number, given?: number): number {
  if (given !== undefined && !(given >= -1 && given <= 1)) throw new InputError(`expected a threshold in -1..1, found ${given}`);
  if (!policy) {
    if (given !== undefined) return given;
    throw new InputError("expected a threshold: the gallery holds no decision policy", "set a policy, or give a threshold");
  }
  const limit = policyThreshold(policy, references);
  if (given === undefined) return limit;
  if (given < limit) {
    const least = (Math.ceil(limit * 1e4) / 1e4).toFixed(4);
    throw new InputError(
      `expected a threshold of at least ${least}, which the gallery's decision policy requires, found ${given}`,
      "leave the threshold out, or give a stricter one",
    );
  }
  return given;
}

/**
 * Decide on the subjects most similar to a probe.
 *
 * @param leaders Subjects with their scores, best first.
 * @param options.limit The threshold.
 * @param options.own Subjects' own thresholds by index; used if above `limit`.
 * @returns The decision on the best subject. Equal scores are rejected for any margin, because another capture would give
 *   equal scores again.
 */
export function decide(
  leaders: readonly Leader[],
  options: { readonly limit: number; readonly own?: ReadonlyMap<number, number>; readonly margin?: number; readonly retryBand?: number },
): { readonly decision: Decision; readonly reason: Reason | null } {
  const { limit, own, margin = 0, retryBand = 0 } = options;
  const [best, next] = leaders;
  if (!best) return { decision: "rejected", reason: null };
  const needed = Math.max(limit, own?.get(best.subject) ?? -1);
  // Written so that NaN is never accepted.
  if (!(best.score >= needed)) {
    return best.score >= needed - retryBand ? { decision: "retry", reason: "close" } : { decision: "rejected", reason: null };
  }
  if (next) {
    const ahead = best.score - next.score;
    if (!(ahead > 0)) return { decision: "rejected", reason: null };
    if (ahead < margin) return { decision: "retry", reason: "ambiguous" };
  }
  return { decision: "accepted", reason: null };
}

/** One enrolled subject, without its templates. */
export interface Subject {
  readonly name: string;
  /** Start and end of validity, Unix seconds, 0 for no bound. */
  readonly validFromS: number;
  readonly validUntilS: number;
  /** Enrolled but never accepted. */
  readonly revoked: boolean;
  /** Own threshold, a cosine, used if above the gallery's; undefined if not set. */
  readonly threshold?: number | undefined;
}

/** A time that has certainly passed. */
export interface KnownTime {
  /** The clock's time, or the latest known time if that is later, Unix seconds. */
  readonly nowS: number;
  /** True if the clock is more than a minute behind; then no subject whose validity ends is accepted. */
  readonly behind: boolean;
}

/** Compare a clock's time with the latest known time, both Unix seconds. */
export function knownTime(clockS: number, latestS: number): KnownTime {
  return { nowS: Math.max(clockS, latestS), behind: !(latestS - clockS <= TOLERANCE_S) };
}

/** Return true if a subject may be accepted at a time. */
export function isEligible(subject: Subject, time: KnownTime): boolean {
  const now = Math.max(0, Math.trunc(time.nowS));
  const begun = subject.validFromS <= now;
  const ends = subject.validUntilS !== 0;
  return !subject.revoked && begun && (!ends || (now < subject.validUntilS && !time.behind));
}

/** Subjects and templates that probes are compared with. */
export interface References {
  readonly subjects: readonly Subject[];
  readonly templates: Templates;
  readonly policy?: DecisionPolicy | undefined;
}

/**
 * Identify a probe among all subjects (1:N).
 *
 * @param options.threshold Cosine to reach; the policy's by default. A lower one than the policy's is refused.
 * @throws InputError, ModelCardError see `effectiveThreshold`.
 */
export function identify(
  references: References,
  probe: Probe,
  options: { readonly time: KnownTime; readonly threshold?: number | undefined },
): Answer {
  const { subjects, templates, policy } = references;
  const limit = effectiveThreshold(policy, templates.owners.length, options.threshold);
  const leaders = leadersOf(templates, probe, (index) => isEligible(subjects[index]!, options.time));
  const { margin = 0, retryBand = 0 } = policy ?? {};
  const { decision, reason } = decide(leaders, { limit, own: ownThresholds(subjects), margin, retryBand });
  const accepted = decision === "accepted";
  return { decision, subject: accepted ? subjects[leaders[0]!.subject]!.name : null, reason };
}

/**
 * Verify that a probe is one subject (1:1).
 *
 * @param name Name of the claimed subject.
 * @throws InputError if the subject is not enrolled; otherwise see `identify`.
 */
export function verify(
  references: References,
  probe: Probe,
  name: string,
  options: { readonly time: KnownTime; readonly threshold?: number | undefined },
): Answer {
  const { subjects, templates, policy } = references;
  const index = subjects.findIndex((subject) => subject.name === name);
  if (index < 0) throw new InputError(`expected an enrolled subject, found '${name}'`, "enrol the subject first");
  const count = templates.owners.filter((owner) => owner === index).length;
  const limit = effectiveThreshold(policy, count, options.threshold);
  const eligible = isEligible(subjects[index]!, options.time);
  const leaders = leadersOf(templates, probe, (owner) => eligible && owner === index);
  const { decision, reason } = decide(leaders, { limit, own: ownThresholds(subjects), retryBand: policy?.retryBand ?? 0 });
  return { decision, subject: decision === "accepted" ? name : null, reason };
}

function ownThresholds(subjects: readonly Subject[]): Map<number, number> {
  return new Map(subjects.flatMap(({ threshold }, index) => (threshold === undefined ? [] : [[index, threshold] as const])));
}

/** Return true if a policy's evidence covers a search among N templates. */
export function covers(policy: DecisionPolicy, references: number): boolean {
  try {
    policyThreshold(policy, references);
    return true;
  } catch (error) {
    if (error instanceof ModelCardError) return false;
    throw error;
  }
}
