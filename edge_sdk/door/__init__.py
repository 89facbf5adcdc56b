"""A lock that recognizes people: an installation of a kit on this computer, and the program that opens the door."""

from edge_sdk.door.installation import Installation
from edge_sdk.door.lock import DoorEvent, DoorEventKind, DoorLock, print_event
from edge_sdk.door.pins import Button, MockButton, MockOutput, Output
from edge_sdk.door.strike import Strike

__all__ = [
    "Button",
    "DoorEvent",
    "DoorEventKind",
    "DoorLock",
    "Installation",
    "MockButton",
    "MockOutput",
    "Output",
    "Strike",
    "print_event",
]
