"""Write TFLite Metadata: the ``TFLITE_METADATA`` buffer that Android and iOS apps read.

The numbers below are field positions in the published schema (tensorflow/tflite-support, metadata_schema.fbs, file
identifier M001).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import flatbuffers

from edge_sdk.model.array_contract import ArrayContract
from edge_sdk.model.card import CARD_NAME, InputContract, ModelCard

BUFFER_NAME = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.0.0"
_RGB, _GRAYSCALE = 1, 2
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES = 2, 1
_NORMALIZATION_OPTIONS = 1

#: Adds one field to the table in the builder.
_Field = Callable[[flatbuffers.Builder], None]


def metadata_buffer(card: ModelCard) -> bytes:
    """Write the metadata of one network.

    Args:
        card: The model card; fields that exist in the schema are copied from it.

    Returns:
        Content of the buffer.
    """
    b = flatbuffers.Builder(1024)
    contract = card.input
    if isinstance(contract, ArrayContract):
        sample = _tensor(b, "array", contract.describe(), _features(b), None)
    else:
        content = _image_content(b, contract)
        sample = _tensor(b, "image", "one aligned crop", content, _normalization(b, contract))
    embedding = _tensor(
        b,
        "embedding",
        f"{card.dimension} values; normalize to L2 norm 1 on the host, compare by cosine",
        _features(b),
        None,
    )
    card_file = _table(
        b,
        5,
        [_offset(0, b.CreateString(CARD_NAME)), _offset(1, b.CreateString("the model card, JSON"))],
    )
    name = b.CreateString(card.name)
    subgraph = _table(
        b, 10, [_offset(0, name), _offset(2, _vector(b, [sample])), _offset(3, _vector(b, [embedding]))]
    )
    root = _table(
        b,
        8,
        [
            _offset(0, name),
            _offset(1, b.CreateString(card.description)),
            _offset(2, b.CreateString(card.version)),
            _offset(3, _vector(b, [subgraph])),
            _offset(5, b.CreateString(card.licence)),
            _offset(6, _vector(b, [card_file])),
            _offset(7, b.CreateString(_MIN_PARSER_VERSION)),
        ],
    )
    b.Finish(root, file_identifier=_IDENTIFIER)
    return bytes(b.Output())


def _features(b: flatbuffers.Builder) -> int:
    return _table(b, 3, [_byte(0, _FEATURE_PROPERTIES), _offset(1, _table(b, 0, []))])


def _image_content(b: flatbuffers.Builder, contract: InputContract) -> int:
    def width(builder: flatbuffers.Builder) -> None:
        builder.PrependUint32Slot(0, contract.width, 0)

    def height(builder: flatbuffers.Builder) -> None:
        builder.PrependUint32Slot(1, contract.height, 0)

    size = _table(b, 2, [width, height])
    space = _GRAYSCALE if contract.color == "gray" else _RGB
    properties = _table(b, 2, [_byte(0, space), _offset(1, size)])
    return _table(b, 3, [_byte(0, _IMAGE_PROPERTIES), _offset(1, properties)])


def _normalization(b: flatbuffers.Builder, contract: InputContract) -> int:
    mean, scale = _floats(b, contract.mean), _floats(b, contract.scale)
    options = _table(b, 2, [_offset(0, mean), _offset(1, scale)])
    return _table(b, 2, [_byte(0, _NORMALIZATION_OPTIONS), _offset(1, options)])


def _tensor(b: flatbuffers.Builder, name: str, description: str, content: int, unit: int | None) -> int:
    fields = [
        _offset(0, b.CreateString(name)),
        _offset(1, b.CreateString(description)),
        _offset(3, content),
    ]
    if unit is not None:
        fields.append(_offset(4, _vector(b, [unit])))
    return _table(b, 7, fields)


def _table(b: flatbuffers.Builder, fields: int, add: Sequence[_Field]) -> int:
    b.StartObject(fields)
    for field in add:
        field(b)
    offset: int = b.EndObject()
    return offset


def _offset(slot: int, target: int) -> _Field:
    return lambda b: b.PrependUOffsetTRelativeSlot(slot, target, 0)


def _byte(slot: int, value: int) -> _Field:
    return lambda b: b.PrependUint8Slot(slot, value, 0)


def _vector(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    vector: int = b.EndVector()
    return vector


def _floats(b: flatbuffers.Builder, values: Sequence[float]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependFloat32(value)
    vector: int = b.EndVector()
    return vector
