"""cpu: a core that runs LiteRT with its XNNPACK delegate, such as a Raspberry Pi's."""

from __future__ import annotations

from converters.targets.shared import no_custom_operators, no_variables, static_shapes
from converters.targets.target import Target

TARGET = Target(
    name="cpu",
    summary="a 64-bit ARM or x86 core, through LiteRT and its XNNPACK delegate",
    makes={"float32": "float32", "float16": "float16", "cpu_int8": "cpu_int8"},
    network_rules=(static_shapes, no_variables, no_custom_operators),
    file_rules=(static_shapes, no_variables, no_custom_operators),
)
