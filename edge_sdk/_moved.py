"""Import modules under their old names for one minor version, with a DeprecationWarning.

The deprecation rule is in CONTRIBUTING.md: an old name is announced in CHANGELOG.md, works for one minor version, and is then removed.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, cast


class _MovedModules:
    """Finder and loader that maps old module names to new ones.

    It does not inherit from ``importlib.abc``, whose import would load ten further modules.

    Args:
        places: New dotted name of each moved module or package, by its old name. Submodules move with a package.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def _new_name(self, name: str) -> str | None:
        if name in self._places:
            return self._places[name]
        package, _, leaf = name.rpartition(".")
        parent = self._new_name(package) if package else None
        return f"{parent}.{leaf}" if parent else None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        new = self._new_name(fullname)
        if new is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, cast(Any, self), origin=new)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        new = str(spec.origin)
        warnings.warn(
            f"{spec.name} is now {new}; the old name is removed in version 0.4.0",
            DeprecationWarning,
            stacklevel=2,
        )
        module = importlib.import_module(new)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has replaced the module's specification with that of the old name: restore its own.
        spec = module.__spec__
        if spec is not None and cast(Any, spec.loader) is self:
            module.__spec__ = spec.loader_state


def install(places: Mapping[str, str]) -> None:
    """Let modules be imported by the old names in ``places``.

    Args:
        places: New dotted name of each moved module or package, by its old name.
    """
    # Insert at the front: otherwise the path finder loads a second copy of a moved package's submodules.
    sys.meta_path.insert(0, _MovedModules(places))
