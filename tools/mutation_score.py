"""How many mutants of each module the tests notice, of those that mutmut made; the last step of make test-mutants.

mutmut results --all true | python -m tools.mutation_score

Exit 0: in every module at least 85 % are killed and none was left out; 1: not so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FLOOR = 0.85
#: A mutant that never ends is noticed too; one that no test reaches is not.
_KILLED = {"killed", "timeout", "segfault"}
_SURVIVED = {"survived", "no tests", "suspicious"}


@dataclass(frozen=True)
class Score:
    """What became of one module's mutants.

    Attributes:
        mutants: How many were made.
        killed: How many the tests noticed.
        survivors: The names of those that they did not; `mutmut show NAME` shows one.
    """

    mutants: int
    killed: int
    survivors: tuple[str, ...]

    @property
    def judged(self) -> int:
        """How many ran to their end, or had no test to run."""
        return self.killed + len(self.survivors)

    @property
    def share(self) -> float:
        """Killed of judged, 0..1; 0 where none was judged."""
        return self.killed / self.judged if self.judged else 0.0


def scores(lines: Iterable[str]) -> dict[str, Score]:
    """Count what `mutmut results --all true` prints: a line `module.mutant: status` for each."""
    of_module: dict[str, dict[str, str]] = {}
    for line in lines:
        name, found, status = line.strip().rpartition(": ")
        if found:
            of_module.setdefault(name.rpartition(".")[0], {})[name] = status
    return {
        module: Score(
            len(statuses),
            sum(status in _KILLED for status in statuses.values()),
            tuple(name for name, status in statuses.items() if status in _SURVIVED),
        )
        for module, statuses in sorted(of_module.items())
    }


def reached(found: Mapping[str, Score]) -> bool:
    """Whether every module was judged whole and is above the floor."""
    return bool(found) and all(s.judged == s.mutants and s.share >= FLOOR for s in found.values())


def main() -> int:
    """Read mutmut's results from standard input, print the table."""
    found = scores(sys.stdin)
    for score in found.values():
        for name in score.survivors:
            print(f"survived: {name}")
    print(f"{'module':<28}{'mutants':>9}{'judged':>9}{'killed':>9}")
    for module, score in found.items():
        print(f"{module:<28}{score.mutants:>9}{score.judged:>9}{score.killed:>9}{score.share:>9.1%}")
    return 0 if reached(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
