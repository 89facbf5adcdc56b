"""Targets: what each piece of hardware runs, as rules and data; ``target`` says how one plugs in."""

from __future__ import annotations

from collections.abc import Mapping

from converters.targets.base import Target
from converters.targets.cpu import target as cpu
from converters.targets.edgetpu import target as edgetpu
from converters.targets.ethos_u import target as ethos_u
from converters.targets.microcontroller import target as microcontroller
from converters.targets.mobile import target as mobile

#: By the name that ``--target`` takes, in the order of the page.
TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (cpu.TARGET, edgetpu.TARGET, ethos_u.TARGET, mobile.TARGET, microcontroller.TARGET)
}
