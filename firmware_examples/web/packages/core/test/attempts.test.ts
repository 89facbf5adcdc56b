import { expect, test } from "vitest";

import { attemptPolicy, attemptRefusal, beginAttempt, type Moment, NO_ATTEMPTS, succeedAttempt, waitMs } from "../src/index.js";

const at = (seconds: number, boot = "a"): Moment => ({ boot, sinceBootMs: 1000 * seconds });
const policy = attemptPolicy();

function failed(count: number): typeof NO_ATTEMPTS {
  let state = NO_ATTEMPTS;
  for (let i = 0; i < count; i++) state = beginAttempt(state, at(100));
  return state;
}

test("five attempts are free, then each waits 30 s", () => {
  expect(attemptRefusal(policy, failed(4), at(100))).toBeNull();
  expect(attemptRefusal(policy, failed(5), at(129.999))).toBe("wait");
  expect(attemptRefusal(policy, failed(5), at(130))).toBeNull();
});

test("fifty failed attempts need an administrator", () => {
  expect(attemptRefusal(policy, failed(50), at(9999))).toBe("disabled");
});

test("after a reboot only the time since the reboot counts", () => {
  expect(waitMs(policy, failed(5), at(10, "b"))).toBe(20_000);
});

test("an accepted attempt clears those before it, not those begun after it", () => {
  const number = failed(3).begun;
  const later = beginAttempt(failed(3), at(101));
  expect(succeedAttempt(later, number)).toMatchObject({ failures: 1, begun: 4, writes: 5 });
});

test("a limit outside its range is refused", () => {
  expect(() => attemptPolicy({ free: 0 })).toThrow("expected 1 <= free");
});
