/**
 * The limit on failed attempts, after NIST SP 800-63B for biometrics. An attempt is counted as failed before it is made.
 * Waits are measured in time since boot, not by the wall clock; after a reboot only the time since the reboot counts.
 */

import type { Reason } from "./decide.js";
import { InputError } from "./errors.js";

const MAX_FAILURES = 1_000_000;
const MAX_WAIT_S = 86_400;

/** A limit on failed attempts in a row. */
export interface AttemptPolicy {
  /** Failed attempts after which each further attempt has to wait, 1..1,000,000. */
  readonly free: number;
  /** Failed attempts after which an administrator must reset the counter, `free`..1,000,000. */
  readonly most: number;
  /** Length of the wait, seconds, 0..86,400. */
  readonly waitS: number;
}

/** Check a limit; by default 5 and 50 attempts and 30 s. Throws InputError if a value is outside its range. */
export function attemptPolicy(options: Partial<AttemptPolicy> = {}): AttemptPolicy {
  const policy = { free: 5, most: 50, waitS: 30, ...options };
  const { free, most, waitS } = policy;
  const whole = [free, most, waitS].every(Number.isInteger);
  if (!whole || !(1 <= free && free <= most && most <= MAX_FAILURES && 0 <= waitS && waitS <= MAX_WAIT_S)) {
    throw new InputError(
      `expected 1 <= free <= most <= ${MAX_FAILURES} failed attempts and a wait of 0..${MAX_WAIT_S} s, found ${free}, ${most} and ${waitS} s`,
    );
  }
  return policy;
}

/** A time measured from a boot of the device; setting the clock does not change it. */
export interface Moment {
  /** Id of the boot. */
  readonly boot: string;
  /** Time since that boot, milliseconds. */
  readonly sinceBootMs: number;
}

/** State of the counter between attempts. */
export interface AttemptState {
  /** Failed attempts in a row, attempts in progress included. */
  readonly failures: number;
  /** Attempts begun since the counter was reset. */
  readonly begun: number;
  /** Number of times the state was written; reveals an older state that was put back. */
  readonly writes: number;
  /** Start of the last attempt. */
  readonly last: Moment;
}

/** State of a new counter. */
export const NO_ATTEMPTS: AttemptState = { failures: 0, begun: 0, writes: 0, last: { boot: "00".repeat(16), sinceBootMs: 0 } };

/** Return the reason to refuse an attempt now; null if it may be made. */
export function attemptRefusal(policy: AttemptPolicy, state: AttemptState, now: Moment): Reason | null {
  if (!(state.failures < policy.most)) return "disabled";
  return waitMs(policy, state, now) === 0 ? null : "wait";
}

/** Return the time until the next attempt is allowed, milliseconds; 0 if it is allowed now. */
export function waitMs(policy: AttemptPolicy, state: AttemptState, now: Moment): number {
  if (state.failures < policy.free) return 0;
  const passed = now.sinceBootMs - (now.boot === state.last.boot ? state.last.sinceBootMs : 0);
  return Math.max(0, 1000 * policy.waitS - passed);
}

/** Count an attempt as failed, before it is made. */
export function beginAttempt(state: AttemptState, now: Moment): AttemptState {
  return {
    failures: Math.min(state.failures + 1, MAX_FAILURES),
    begun: state.begun + 1,
    writes: state.writes + 1,
    last: now,
  };
}

/**
 * Clear the failed attempts up to an accepted one; attempts begun after it still count.
 *
 * @param state The current state.
 * @param number Number of the accepted attempt: the value of `begun` after it was counted.
 */
export function succeedAttempt(state: AttemptState, number: number): AttemptState {
  return { ...state, failures: Math.min(state.failures, state.begun - number), writes: state.writes + 1 };
}
