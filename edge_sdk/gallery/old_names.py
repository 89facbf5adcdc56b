"""Old method names of `Gallery`; they work for one minor version, with a DeprecationWarning."""

from __future__ import annotations

import operator
import warnings
from typing import Any

MOVED = {
    "add_key": "keys.add",
    "add_source": "exchange.add_source",
    "export": "exchange.export",
    "import_from": "exchange.import_package",
    "key_slots": "keys.slots",
    "obey": "exchange.execute",
    "reanchor": "keys.reanchor",
    "remove_key": "keys.remove",
    "remove_source": "exchange.remove_source",
    "renew_transform": "keys.renew_transform",
    "reset_attempts": "attempts.reset",
    "rotate_key": "keys.rotate",
    "sources": "exchange.sources",
}


def moved_method(gallery: object, name: str) -> Any:
    """Return the method that has replaced an old method.

    Raises:
        AttributeError: `name` is not an old method name.
    """
    if name not in MOVED:
        raise AttributeError(f"{type(gallery).__name__!r} object has no attribute {name!r}")
    warn_old_name(name, MOVED[name], stacklevel=4)
    return operator.attrgetter(MOVED[name])(gallery)


def warn_old_name(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Warn that an old name was used."""
    warnings.warn(
        f"gallery.{old} is now gallery.{new}; the old name is removed in version 0.4.0",
        DeprecationWarning,
        stacklevel=stacklevel,
    )
