"""Show progress bars on a terminal, and none in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edge_sdk.escaping import escaped_line

#: Called with (done, total).
Progress = Callable[[int, int], None]
#: Takes the name of a stage and returns a context manager that provides a ``Progress``, such as ``stage``.
Stages = Callable[[str], Any]


@contextmanager
def stage(label: str) -> Iterator[Progress]:
    """Show a progress bar for one stage of the work on stderr while the block runs."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from tqdm import tqdm

    with tqdm(
        desc=escaped_line(label),
        leave=False,
        file=sys.stderr,
        bar_format="{desc} {percentage:3.0f}% {bar} {elapsed}",
    ) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
