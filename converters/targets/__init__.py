"""Targets: what each piece of hardware runs, as rules and data; ``target`` says how one plugs in."""

from __future__ import annotations

from collections.abc import Mapping

from converters.targets import cpu, edgetpu, ethos_u, microcontroller, mobile
from converters.targets.target import Target

#: By the name that ``--target`` takes, in the order of the page.
TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (cpu.TARGET, edgetpu.TARGET, ethos_u.TARGET, mobile.TARGET, microcontroller.TARGET)
}
