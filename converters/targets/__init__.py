"""Targets: the operators, rules and file formats of each supported hardware platform.

``base`` defines the ``Target`` value and describes how a conversion uses it. Each subpackage holds one built-in target in modules
of the same names: ``target`` (the ``TARGET`` constant and its rules), ``operators`` (supported operators), and, if the target has them,
``placement`` (predicts which processor runs which operator) and ``compiler`` or ``interpreter`` (runs the vendor's tool).

Another distribution adds a target by an entry point in the group ``edge_convert.targets``; ``tests/plugins/acme_npu`` is an example.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

from converters.errors import TargetPluginError
from converters.targets.base import Target

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
        Name -> target: the built-in ones first, then plug-ins in alphabetical order. Looking up a plug-in's name imports it, and
        raises a TargetPluginError if that fails.

    Raises:
        TargetPluginError: A plug-in's name is that of a built-in target or of another plug-in.
    """
    plugins: dict[str, EntryPoint] = {}
    for plugin in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        if plugin.name in _BUILT_IN:
            raise TargetPluginError(
                f"target plug-in {_origin(plugin)}: the name {plugin.name!r} is that of a built-in target",
                hint="uninstall the plug-in, or give its entry point another name",
            )
        other = plugins.setdefault(plugin.name, plugin)
        if other.value != plugin.value:
            raise TargetPluginError(
                f"target plug-ins {_origin(other)} and {_origin(plugin)} have the same name {plugin.name!r}",
                hint="uninstall one of the two plug-ins",
            )
    return _Targets(plugins)


def _load(plugin: EntryPoint) -> Target:
    try:
        target = plugin.load()
    except Exception as error:  # a plug-in's module can raise anything at import
        raise TargetPluginError(
            f"target plug-in {_origin(plugin)} cannot be loaded: {type(error).__name__}: {error}",
            hint="reinstall or update the plug-in; it must support this version of edge-sdk",
        ) from error
    if not isinstance(target, Target) or target.name != plugin.name:
        actual = f"the target {target.name!r}" if isinstance(target, Target) else type(target).__name__
        raise TargetPluginError(
            f"target plug-in {_origin(plugin)}: expected a Target with the name {plugin.name!r}, found {actual}",
            hint="report this to the plug-in's author",
        )
    return target


def _origin(plugin: EntryPoint) -> str:
    distribution = f" of {plugin.dist.name}" if plugin.dist is not None else ""
    return f"{plugin.value}{distribution}"
