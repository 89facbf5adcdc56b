"""Cameras by name, as on the command line."""

from __future__ import annotations

import stat
from pathlib import Path

from edge_sdk.cameras.camera import Camera, Rotated
from edge_sdk.cameras.folder import FolderCamera
from edge_sdk.cameras.network import SCHEMES, NetworkCamera
from edge_sdk.cameras.opencv import V4l2Camera, VideoFile
from edge_sdk.cameras.picamera import PiCamera
from edge_sdk.errors import InputError
from edge_sdk.plugins import find_plugins, open_plugin

_GROUP = "edge_sdk.cameras"
_KINDS = ("pi", "usb", *SCHEMES)
_POSSIBLE = (
    "pi or pi:N; usb, usb:N, N or usb:PATH; a device such as /dev/video0 or a link in /dev/v4l/by-id or"
    " /dev/v4l/by-path; an address that begins with rtsp://, rtsps://, http:// or https://; a video file; a folder of images"
)


def camera_named(name: str, *, rotate: int = 0) -> Camera:
    """Return the camera with a name, not yet open.

    ===================================== =======================================================================
    name                                  camera
    ===================================== =======================================================================
    ``pi``, ``pi:N``                      camera N on the Raspberry Pi's ribbon cable, from 0
    ``usb``, ``usb:N``, ``N``             `/dev/videoN`, 0 by default
    ``usb:PATH``, a path in `/dev`        USB camera by its device, such as a link in `/dev/v4l/by-id`
    ``rtsp://``, ``rtsps://``,            network camera
    ``http://``, ``https://``
    ``NAME:ARGUMENT``                     plug-in in the group ``edge_sdk.cameras``
    path of a folder or file              images of the folder, or frames of the video file
    ===================================== =======================================================================

    Args:
        name: Name of the camera.
        rotate: Clockwise turn of each frame in degrees: 0, 90, 180 or 270.

    Raises:
        InputError: Nothing has this name; the hint lists what is possible.
        PluginError: The plug-in cannot be loaded or fails.
    """
    kind, _, argument = name.partition(":")
    if kind.lower() in SCHEMES:
        # The scheme may be written in capitals, as in an address on a sticker.
        return NetworkCamera(f"{kind.lower()}:{argument}", rotate=rotate)
    if name.isdecimal():
        return V4l2Camera(int(name), rotate=rotate)
    if kind == "pi" and (not argument or argument.isdecimal()):
        return PiCamera(number=int(argument or 0), rotate=rotate)
    if kind == "usb" and (not argument or argument.isdecimal()):
        return V4l2Camera(int(argument or 0), rotate=rotate)
    if kind == "usb" and argument.startswith("/"):
        return V4l2Camera(argument, rotate=rotate)
    plugin: Camera | None = open_plugin(_GROUP, name, reserved=_KINDS)
    if plugin is not None:
        return Rotated(plugin, rotate) if rotate else plugin
    return _camera_at(name, rotate)


def _camera_at(name: str, rotate: int) -> Camera:
    path = Path(name)
    try:
        mode = path.stat().st_mode if name.strip() else 0
    except (OSError, ValueError):
        mode = 0
    if stat.S_ISDIR(mode):
        return FolderCamera(path, rotate=rotate)
    if stat.S_ISREG(mode):
        return VideoFile(path, rotate=rotate)
    # A camera that is not connected has no device yet; opening it says so.
    if stat.S_ISCHR(mode) or (not mode and name.startswith("/dev/")):
        return V4l2Camera(name, rotate=rotate)
    plugins = ", ".join(f"{plugin}:ARGUMENT" for plugin in find_plugins(_GROUP, reserved=_KINDS))
    shown = name if "@" not in name else "a name with @"
    raise InputError(
        f"expected a camera, found {shown!r}", hint=f"give {_POSSIBLE}{f'; {plugins}' if plugins else ''}"
    )
