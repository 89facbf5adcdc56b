"""Targets: the operators, rules and file formats of each supported hardware platform.

``base`` defines the ``Target`` value and describes how a conversion uses it. Each subpackage holds one built-in target in modules
of the same names: ``target`` (the ``TARGET`` constant and its rules), ``operators`` (supported operators), and, if the target has them,
``placement`` (predicts which processor runs which operator) and ``compiler`` or ``interpreter`` (runs the vendor's tool).

Another distribution adds a target by an entry point in the group ``edge_convert.targets`` (docs/how-to/add-a-target.md).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint

from converters.targets.base import Target
from edge_sdk.errors import PluginError
from edge_sdk.plugins import PluginWarning, describe_plugin, find_plugins, load_plugin

ENTRY_POINT_GROUP = "edge_convert.targets"

#: Name that ``--target`` takes -> package, in the order of docs/reference/targets.md.
_BUILT_IN = {
    "cpu": "cpu",
    "edgetpu": "edgetpu",
    "ethos-u": "ethos_u",
    "mobile": "mobile",
    "microcontroller": "microcontroller",
}


class _Targets(Mapping[str, Target]):
    """Targets by name; each is imported when it is looked up, so that a broken plug-in does not affect the others."""

    def __init__(self, plugins: Mapping[str, EntryPoint]) -> None:
        self._plugins = plugins

    def __getitem__(self, name: str) -> Target:
        if name in _BUILT_IN:
            module = importlib.import_module(f"converters.targets.{_BUILT_IN[name]}.target")
            target: Target = module.TARGET
            return target
        return _load(self._plugins[name])

    def __iter__(self) -> Iterator[str]:
        yield from _BUILT_IN
        yield from self._plugins

    def __len__(self) -> int:
        return len(_BUILT_IN) + len(self._plugins)

    def __contains__(self, name: object) -> bool:
        return name in _BUILT_IN or name in self._plugins


def targets() -> Mapping[str, Target]:
    """List the built-in targets and those of installed plug-ins.

    Returns:
        Name -> target: the built-in ones first, then plug-ins in alphabetical order. Looking up a plug-in's name imports
        it, and raises a PluginError if the import fails or the object is not a ``Target`` of that name. A plug-in with the name of
        a built-in target is left out.
    """
    return _Targets(find_plugins(ENTRY_POINT_GROUP, reserved=_BUILT_IN))


def loadable_targets() -> tuple[Target, ...]:
    """Load every target; a plug-in that cannot be loaded is left out with a ``PluginWarning``."""
    loaded = []
    known = targets()
    for name in known:
        try:
            loaded.append(known[name])
        except PluginError as error:
            warnings.warn(str(error), PluginWarning, stacklevel=2)
    return tuple(loaded)


def _load(plugin: EntryPoint) -> Target:
    target = load_plugin(plugin)
    if not isinstance(target, Target) or target.name != plugin.name:
        actual = f"the target {target.name!r}" if isinstance(target, Target) else type(target).__name__
        raise PluginError(
            f"{describe_plugin(plugin)}: expected a Target with the name {plugin.name!r}, found {actual}",
            hint="report this to the plug-in's author",
        )
    return target
