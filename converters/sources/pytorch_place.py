"""Where a PyTorch network is: in a file that ``torch.export`` wrote, or what a function in a Python file returns."""

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
        file: The Python file it is in.
        function: Its name.
    """

    file: Path
    function: str


def code_place(path: Path) -> CodePlace | None:
    """What ``net.py:make`` or ``package.module:make`` names; None where the path is of another form.

    A module is looked for beside the path, as Python's own search would from there, and nowhere else: what is
    run is a file that one can look at first.

    Raises:
        SourceError: The form is right and there is no such file.
    """
    found = _FUNCTION.fullmatch(path.name)
    if found is None or path.exists():
        return None
    module = found["module"]
    if module.endswith(".py"):
        candidates = [path.parent / module]
    else:
        stem = path.parent.joinpath(*module.split("."))
        candidates = [stem.with_name(f"{stem.name}.py"), stem / "__init__.py"]
    for file in candidates:
        if file.is_file():
            return CodePlace(file, found["function"])
    raise SourceError(
        f"{path}: there is no file {' or '.join(str(c) for c in candidates)}",
        hint="say FILE.py:FUNCTION; the function takes nothing and returns a torch.nn.Module",
    )
