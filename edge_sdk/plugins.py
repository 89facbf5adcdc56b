"""Extensions from other distributions, found through entry points.

A distribution registers an object under a name in one of these groups (setup.cfg, ``[options.entry_points]``):

===================== ===============================================================================
group                 object
===================== ===============================================================================
``edge_sdk.backends``  ``open(network: bytes, *, threads: int) -> Backend``
``edge_sdk.cameras``   ``open(argument: str) -> Camera``
``edge_sdk.detectors`` ``open(argument: str) -> FaceDetector``
``edge_sdk.keys``      ``open(argument: str) -> KeyProvider``
===================== ===============================================================================

``converters`` has the groups ``edge_convert.targets`` and ``edge_convert.sources``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from edge_sdk.errors import EdgeSdkError, InputError, PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class PluginWarning(UserWarning):
    """A plug-in is left out of a list because it cannot be loaded."""


def find_plugins(group: str, *, reserved: Collection[str] = ()) -> Mapping[str, EntryPoint]:
    """List the entry points of a group by name, without importing them.

    Args:
        group: Name of the group, such as ``edge_sdk.cameras``.
        reserved: Built-in names; a plug-in with such a name is never used, and is left out.

    Returns:
        Entry points by name, in alphabetical order. If several distributions use a name, the first is listed, and
        `load_plugin` refuses it.
    """
    from importlib.metadata import entry_points

    plugins: dict[str, EntryPoint] = {}
    for plugin in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        if plugin.name not in reserved:
            plugins.setdefault(plugin.name, plugin)
    return plugins


def load_plugin(plugin: EntryPoint) -> Any:
    """Import the object of an entry point.

    Raises:
        PluginError: The import fails, or another distribution uses the same name.
    """
    from importlib.metadata import entry_points

    for other in entry_points(group=plugin.group, name=plugin.name):
        if other.value != plugin.value:
            raise PluginError(
                f"{describe_plugin(plugin)} and {describe_plugin(other)} have the same name {plugin.name!r}",
                hint="uninstall one of the two",
            )
    return _guarded(plugin, "cannot be loaded", plugin.load)


def call_plugin(plugin: EntryPoint, *arguments: Any, **options: Any) -> Any:
    """Import the function or class of an entry point and call it.

    Returns:
        Its result, which is not None.

    Raises:
        EdgeSdkError: The call raised it.
        PluginError: The import fails, the call fails in another way, or its result is None.
    """
    function = load_plugin(plugin)
    result = _guarded(plugin, "failed", lambda: function(*arguments, **options))
    if result is None:
        raise PluginError(f"{describe_plugin(plugin)}: expected an object, found None")
    return result


def open_plugin(group: str, word: str, *, reserved: Collection[str] = ()) -> Any:
    """Call the opening function of the plug-in that a word of a command line names.

    Args:
        group: Name of the group.
        word: ``NAME:ARGUMENT``; a word without a colon names no plug-in.
        reserved: Built-in names, which name no plug-in.

    Returns:
        The result of the function for ARGUMENT. None if no plug-in has the name.

    Raises:
        EdgeSdkError: The function raised it.
        PluginError: The plug-in cannot be loaded or fails.
    """
    name, colon, argument = word.partition(":")
    plugin = find_plugins(group, reserved=reserved).get(name) if colon else None
    return None if plugin is None else call_plugin(plugin, argument)


def need_plugin(group: str, name: str) -> EntryPoint:
    """Find the plug-in with a name.

    Raises:
        InputError: No plug-in has this name.
    """
    plugins = find_plugins(group)
    if name not in plugins:
        known = ", ".join(plugins) or "none"
        raise InputError(
            f"expected a plug-in of the group {group} (installed: {known}), found {name!r}",
            hint="install the distribution that provides it",
        )
    return plugins[name]


def describe_plugin(plugin: EntryPoint) -> str:
    """Name an entry point and its distribution for an error message."""
    distribution = f" of {plugin.dist.name}" if plugin.dist is not None else ""
    return f"plug-in {plugin.value}{distribution} ({plugin.group})"


def _guarded(plugin: EntryPoint, what: str, step: Callable[[], Any]) -> Any:
    """Run code of a plug-in; whatever it raises becomes a PluginError, so that no fault looks like an answer."""
    try:
        return step()
    except EdgeSdkError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{describe_plugin(plugin)} {what}: {type(error).__name__}: {error}",
            hint="reinstall or update the plug-in; it must support this version of edge-sdk",
        ) from error
