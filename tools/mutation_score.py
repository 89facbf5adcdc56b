"""Print the share of mutmut's mutants that the tests detect, by module; the last step of make test-mutants.

mutmut results --all true | python -m tools.mutation_score

Exit code 0 if in every module all mutants were judged and at least 85 % were killed, otherwise 1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FLOOR = 0.85
#: Statuses that count as killed: a mutant that never ends is detected, a mutant that no test reaches is not.
_KILLED = {"killed", "timeout", "segfault"}
_SURVIVED = {"survived", "no tests", "suspicious"}


@dataclass(frozen=True)
class Score:
    """Results of one module's mutants.

    Attributes:
        mutants: Number of mutants.
        killed: Number of mutants that the tests detected.
        survivors: Names of undetected mutants; `mutmut show NAME` shows a mutant.
    """

    mutants: int
    killed: int
    survivors: tuple[str, ...]

    @property
    def judged(self) -> int:
        """Number of mutants with a result."""
        return self.killed + len(self.survivors)

    @property
    def share(self) -> float:
        """Killed mutants divided by judged mutants, 0..1; 0 if no mutant was judged."""
        return self.killed / self.judged if self.judged else 0.0


def count_scores(lines: Iterable[str]) -> dict[str, Score]:
    """Count the lines `module.mutant: status` printed by `mutmut results --all true`, by module."""
    of_module: dict[str, dict[str, str]] = {}
    for line in lines:
        name, separator, status = line.strip().rpartition(": ")
        if separator:
            of_module.setdefault(name.rpartition(".")[0], {})[name] = status
    return {
        module: Score(
            len(statuses),
            sum(status in _KILLED for status in statuses.values()),
            tuple(name for name, status in statuses.items() if status in _SURVIVED),
        )
        for module, statuses in sorted(of_module.items())
    }


def reach_floor(scores: Mapping[str, Score]) -> bool:
    """Return True if in every module all mutants were judged and the killed share reaches the floor."""
    return bool(scores) and all(s.judged == s.mutants and s.share >= FLOOR for s in scores.values())


def main() -> int:
    """Read mutmut's results from standard input and print the table."""
    scores = count_scores(sys.stdin)
    for score in scores.values():
        for name in score.survivors:
            print(f"survived: {name}")
    print(f"{'module':<28}{'mutants':>9}{'judged':>9}{'killed':>9}")
    for module, score in scores.items():
        print(f"{module:<28}{score.mutants:>9}{score.judged:>9}{score.killed:>9}{score.share:>9.1%}")
    return 0 if reach_floor(scores) else 1


if __name__ == "__main__":
    raise SystemExit(main())
