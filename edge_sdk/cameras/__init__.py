"""Sources of frames behind one protocol. A camera is opened by `with`, not before."""

from edge_sdk.cameras.camera import Camera, Rotated, Watched, frames
from edge_sdk.cameras.folder import FolderCamera
from edge_sdk.cameras.names import camera_named
from edge_sdk.cameras.network import NetworkCamera
from edge_sdk.cameras.opencv import V4l2Camera, VideoFile
from edge_sdk.cameras.picamera import PiCamera

__all__ = [
    "Camera",
    "FolderCamera",
    "NetworkCamera",
    "PiCamera",
    "Rotated",
    "V4l2Camera",
    "VideoFile",
    "Watched",
    "camera_named",
    "frames",
]
