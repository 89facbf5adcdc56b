"""Paths of the form ``net.py:make``, which name a function that returns a PyTorch network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from converters.errors import SourceError

_FUNCTION = re.compile(r"(?P<module>[^:]+):(?P<function>[A-Za-z_]\w*)")


@dataclass(frozen=True)
class CodePlace:
    """A function that returns a network.

    Args:
        file: The Python file.
        function: Name of the function.
    """

    file: Path
    function: str


def code_place(path: Path) -> CodePlace | None:
    """Resolve ``net.py:make`` or ``package.module:make``; return None for a path of another form.

    A module is looked up relative to the path's folder and nowhere else, so that the user can inspect the file that
    will run.

    Raises:
        SourceError: The path has this form, but the file does not exist.
    """
    match = _FUNCTION.fullmatch(path.name)
    if match is None or path.exists():
        return None
    module = match["module"]
    if module.endswith(".py"):
        candidates = [path.parent / module]
    else:
        stem = path.parent.joinpath(*module.split("."))
        candidates = [stem.with_name(f"{stem.name}.py"), stem / "__init__.py"]
    for file in candidates:
        if file.is_file():
            return CodePlace(file, match["function"])
    raise SourceError(
        f"{path}: there is no file {' or '.join(str(c) for c in candidates)}",
        hint="give FILE.py:FUNCTION; the function takes no arguments and returns a torch.nn.Module",
    )
