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

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from edge_sdk.errors import InputError, PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def find_plugins(group: str, *, reserved: Collection[str] = ()) -> Mapping[str, EntryPoint]:
    """List the entry points of a group by name, without importing them.

    Args:
        group: Name of the group, such as ``edge_sdk.cameras``.
        reserved: Built-in names, which a plug-in must not use.

    Returns:
        Entry points by name, in alphabetical order.

    Raises:
        PluginError: A plug-in has a built-in name, or two plug-ins have the same name.
    """
    from importlib.metadata import entry_points

    plugins: dict[str, EntryPoint] = {}
    for plugin in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        if plugin.name in reserved:
            raise PluginError(
                f"{describe_plugin(plugin)}: the name {plugin.name!r} is built in",
                hint="uninstall the plug-in, or give its entry point another name",
            )
        other = plugins.setdefault(plugin.name, plugin)
        if other.value != plugin.value:
            raise PluginError(
                f"{describe_plugin(other)} and {describe_plugin(plugin)} have the same name {plugin.name!r}",
                hint="uninstall one of the two",
            )
    return plugins


def load_plugin(plugin: EntryPoint) -> Any:
    """Import the object of an entry point.

    Raises:
        PluginError: The import failed.
    """
    try:
        return plugin.load()
    except (ImportError, AttributeError, SyntaxError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise PluginError(
            f"{describe_plugin(plugin)} cannot be loaded: {type(error).__name__}: {error}",
            hint="reinstall or update the plug-in; it must support this version of edge-sdk",
        ) from error


def open_plugin(group: str, word: str, *, reserved: Collection[str] = ()) -> Any:
    """Call the opening function of a plug-in that is named on the command line.

    Args:
        group: Name of the group.
        word: ``NAME`` or ``NAME:ARGUMENT``.
        reserved: Built-in names, which a plug-in must not use.

    Returns:
        The result of the plug-in's function, called with ARGUMENT or an empty string; None if no plug-in has the name.

    Raises:
        PluginError: The plug-in cannot be loaded.
    """
    name, _, argument = word.partition(":")
    plugin = find_plugins(group, reserved=reserved).get(name)
    return None if plugin is None else load_plugin(plugin)(argument)


def need_plugin(group: str, name: str) -> Any:
    """Load the plug-in with a name.

    Raises:
        InputError: No plug-in has this name.
        PluginError: The plug-in cannot be loaded.
    """
    plugins = find_plugins(group)
    if name not in plugins:
        known = ", ".join(plugins) or "none"
        raise InputError(
            f"expected a plug-in of the group {group} (installed: {known}), found {name!r}",
            hint="install the distribution that provides it",
        )
    return load_plugin(plugins[name])


def describe_plugin(plugin: EntryPoint) -> str:
    """Name an entry point and its distribution for an error message."""
    distribution = f" of {plugin.dist.name}" if plugin.dist is not None else ""
    return f"plug-in {plugin.value}{distribution} ({plugin.group})"
