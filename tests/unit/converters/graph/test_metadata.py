"""The TFLite Metadata of a file, which Android and iOS read, contains the fields of the model card.

The tests read the metadata field by field with the published schema (tensorflow/tflite-support, metadata_schema.fbs), so
that they share no code with the writer.
"""

from collections.abc import Callable
from typing import Any

import pytest
from flatbuffers import encode, number_types
from flatbuffers.table import Table

from edge_sdk.model.card import CARD_NAME
from edge_sdk.model.model_file import split

Make = Callable[..., Any]
MODEL_METADATA, MODEL_BUFFERS = 6, 4  # schema.fbs: Model.metadata, Model.buffers


class Reader:
    """Reader of one FlatBuffer table; fields are addressed by their number in the schema."""

    def __init__(self, data: bytes, position: int) -> None:
        self.table = Table(bytearray(data), position)

    @classmethod
    def root(cls, data: bytes) -> "Reader":
        return cls(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))

    def _at(self, field: int) -> int:
        offset = self.table.Offset(4 + 2 * field)
        assert offset, f"field {field} is absent"
        return offset + self.table.Pos

    def text(self, field: int) -> str:
        return self.table.String(self._at(field)).decode()

    def number(self, field: int, kind: Any) -> Any:
        return self.table.Get(kind, self._at(field))

    def child(self, field: int) -> "Reader":
        return Reader(bytes(self.table.Bytes), self.table.Indirect(self._at(field)))

    def children(self, field: int) -> list["Reader"]:
        relative = self._at(field) - self.table.Pos
        start = self.table.Vector(relative)
        return [
            Reader(bytes(self.table.Bytes), self.table.Indirect(start + 4 * i))
            for i in range(self.table.VectorLen(relative))
        ]

    def numbers(self, field: int, kind: Any, width: int) -> list[Any]:
        relative = self._at(field) - self.table.Pos
        start = self.table.Vector(relative)
        return [self.table.Get(kind, start + width * i) for i in range(self.table.VectorLen(relative))]


def metadata_of(file: bytes) -> bytes:
    model = Reader.root(split(file)[0])
    entries = [entry for entry in model.children(MODEL_METADATA) if entry.text(0) == "TFLITE_METADATA"]
    assert len(entries) == 1
    buffer = model.children(MODEL_BUFFERS)[entries[0].number(1, number_types.Uint32Flags)]
    return bytes(buffer.numbers(0, number_types.Uint8Flags, 1))


@pytest.fixture(scope="module")
def metadata(make_model: Make, make_contract: Make) -> Reader:
    contract = make_contract(mean=(123.5, 116.25, 103.0), scale=(58.0, 57.0, 57.5))
    data = metadata_of(make_model(input=contract))
    assert data[4:8] == b"M001"
    return Reader.root(data)


def test_metadata_contains_name_version_licence_and_description(metadata: Reader) -> None:
    assert metadata.text(0) == "pooled-colours"
    assert metadata.text(1) == "a random projection of a coarse image"
    assert metadata.text(2) == "3"
    assert metadata.text(5) == "Apache-2.0"
    assert metadata.text(7) == "1.0.0"


def test_metadata_lists_the_card_as_an_associated_file(metadata: Reader) -> None:
    (file,) = metadata.children(6)
    assert file.text(0) == CARD_NAME


def test_metadata_describes_the_input_image(metadata: Reader) -> None:
    (subgraph,) = metadata.children(3)
    (image,) = subgraph.children(2)
    assert image.text(0) == "image"
    content = image.child(3)
    assert content.number(0, number_types.Uint8Flags) == 2  # ContentProperties.ImageProperties
    properties = content.child(1)
    assert properties.number(0, number_types.Int8Flags) == 1  # ColorSpaceType.RGB
    size = properties.child(1)
    assert size.number(0, number_types.Uint32Flags) == 96  # width
    assert size.number(1, number_types.Uint32Flags) == 96  # height


def test_metadata_contains_the_normalization_of_pixels(metadata: Reader) -> None:
    (image,) = metadata.children(3)[0].children(2)
    (unit,) = image.children(4)
    assert unit.number(0, number_types.Uint8Flags) == 1  # ProcessUnitOptions.NormalizationOptions
    options = unit.child(1)
    assert options.numbers(0, number_types.Float32Flags, 4) == [123.5, 116.25, 103.0]
    assert options.numbers(1, number_types.Float32Flags, 4) == [58.0, 57.0, 57.5]


def test_metadata_describes_the_embedding(metadata: Reader) -> None:
    (embedding,) = metadata.children(3)[0].children(3)
    assert embedding.text(0) == "embedding"
    assert "32 values" in embedding.text(1)
    assert embedding.child(3).number(0, number_types.Uint8Flags) == 1  # FeatureProperties


def test_a_gray_network_has_a_grayscale_image(make_model: Make, make_contract: Make) -> None:
    metadata = Reader.root(metadata_of(make_model(input=make_contract(color="gray"))))
    (image,) = metadata.children(3)[0].children(2)
    assert image.child(3).child(1).number(0, number_types.Int8Flags) == 2  # ColorSpaceType.GRAYSCALE


def test_the_same_network_and_card_give_the_same_file(make_model: Make, model_bytes: bytes) -> None:
    assert make_model() == model_bytes


def test_the_interpreter_loads_the_file_as_it_is(model_bytes: bytes) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model_bytes)
    interpreter.allocate_tensors()
    assert list(interpreter.get_signature_list()) == ["serving_default"]
