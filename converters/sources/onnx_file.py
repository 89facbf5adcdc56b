"""Read and check an ONNX file; imported only in the child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from converters.errors import SourceError
from converters.sources import onnx_dequantize, onnx_interface, onnx_output
from converters.sources.kinds import MAX_SOURCE_BYTES
from converters.sources.onnx_rewrites.numbers import in_float32
from converters.sources.onnx_run import open_session
from converters.sources.source_request import SourceRequest

_STANDARD = ("", "ai.onnx")
#: Most operators of a graph without its local functions.
MAX_OPERATORS = 100_000


def load(request: SourceRequest) -> tuple[Any, tuple[str, ...]]:
    """Parse and check the file, with its external weights, and choose its output.

    Stored integer weights and other floating-point types become float32.
    """
    import onnx
    from google.protobuf.message import DecodeError

    request.stage = "reading the ONNX file"
    try:
        model = onnx.load(request.path, load_external_data=False)
    except DecodeError as error:
        raise SourceError("the ONNX file is damaged", hint="copy it again, or export it again") from error
    _check_version(model)
    notes = _load_external(model, request.path.parent)
    _check_operators(model)
    _check_functions(model)
    _check_valid(model)
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    notes += onnx_dequantize.dequantize_weights(model)
    if request.output_name is not None:
        notes += onnx_output.choose_output(model, request.output_name)
    notes += onnx_interface.drop_unread_inputs(model)
    return model, notes + in_float32(model)


def _check_valid(model: Any) -> None:
    """Refuse a model that the checker of onnx refuses, unless onnxruntime runs it."""
    import onnx

    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        try:
            open_session(model)
        except SourceError:
            line = str(error).splitlines()[0]
            raise SourceError(f"the ONNX model is not valid: {line[:300]}", hint="export it again") from error


def _check_functions(model: Any) -> None:
    """Refuse functions whose inlined operators would be too many."""
    bodies = {(f.domain, f.name): f.node for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    # Each round completes at least one level of calls; a cycle is refused by the checker of onnx.
    for _ in bodies:
        sizes = {
            key: min(sum(sizes.get((n.domain, n.op_type), 1) for n in body), MAX_OPERATORS + 1)
            for key, body in bodies.items()
        }
        if max(sizes.values()) > MAX_OPERATORS:
            raise SourceError(
                f"its functions need more than {MAX_OPERATORS} operators",
                hint="export it without local functions",
            )


def _check_version(model: Any) -> None:
    import onnx

    limits = [("IR version", model.ir_version, int(onnx.IR_VERSION))]
    newest = onnx.defs.onnx_opset_version()
    limits += [("opset", o.version, newest) for o in model.opset_import if o.domain in _STANDARD]
    for name, version, limit in limits:
        if version > limit:
            raise SourceError(
                f"the ONNX file has {name} {version}, the installed onnx {onnx.__version__} reads up to {limit}",
                hint="export it with an older opset (17 is supported everywhere), or update onnx",
            )


def _load_external(model: Any, folder: Path) -> tuple[str, ...]:
    """Load external weights, but only from the file's folder; return notes."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    external = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
    try:
        names = sorted({str(ExternalDataInfo(tensor).location) for tensor in external})
        for name in names:
            _check_external(name, folder)
        onnx.load_external_data_for_model(model, str(folder))
    except (OSError, ValueError, TypeError, onnx.checker.ValidationError) as error:
        line = str(error).splitlines()[0]
        raise SourceError(
            f"its external weights cannot be read: {line}", hint="copy both files again"
        ) from error
    return (f"the source's SHA-256 does not cover the weights in {', '.join(names)}",) if names else ()


def _check_external(name: str, folder: Path) -> None:
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise SourceError(f"its external weights are outside its folder: {name!r}", hint="export it again")
    if not file.is_file():
        raise SourceError(
            f"its weights are in a second file {name!r}, which is not in its folder",
            hint="copy both files into one folder",
        )
    if file.stat().st_size > MAX_SOURCE_BYTES:
        raise SourceError(f"{name}: expected at most {MAX_SOURCE_BYTES} bytes, found {file.stat().st_size}")


def _check_operators(model: Any) -> None:
    """Refuse integer arithmetic, and operators that are not in the ONNX standard."""
    local = {(function.domain, function.name) for function in model.functions}
    unsupported = set()
    integer = set()
    for node in model.graph.node:
        if node.op_type.startswith(("QLinear", "QGemm", "DynamicQuantize")) or node.op_type.endswith(
            "Integer"
        ):
            integer.add(node.op_type)
        elif node.domain not in _STANDARD and (node.domain, node.op_type) not in local:
            unsupported.add(f"{node.domain}.{node.op_type}")
    if integer:
        raise SourceError(
            f"its activations are already quantized ({', '.join(sorted(integer))})",
            hint="give the float model it was made from",
        )
    if unsupported:
        raise SourceError(
            f"it needs operators outside the ONNX standard: {', '.join(sorted(unsupported))}",
            hint="give the exporter's file, not a file that a runtime has optimized",
        )
