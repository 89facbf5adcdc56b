"""The kind of a file is recognized by its content."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from converters.errors import SourceError
from converters.sources import kinds
from converters.sources.kinds import recognize, suffix_note

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256))


def write(path, content):
    path.write_bytes(content)
    return path


def write_zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return path


def refusal(path):
    with pytest.raises(SourceError) as refused:
        recognize(path)
    return str(refused.value), refused.value.hint


def test_missing_file(tmp_path):
    message, hint = refusal(tmp_path / "none.onnx")
    assert "no such file" in message
    assert "ONNX" in hint


def test_empty_file(tmp_path):
    assert "empty" in refusal(write(tmp_path / "face.tflite", b""))[0]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (JPEG, "a JPEG image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "a PNG image"),
        (b"import torch\nprint('hello')\n", "a text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "a Python pickle"),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00" + b'{"__metadata__":{}}', "a safetensors file"),
        (bytes(300), "something else"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path, content, kind):
    message, hint = refusal(write(tmp_path / "face.onnx", content))
    assert kind in message
    assert hint


def test_pytorch_weights_say_how_to_export_the_network(tmp_path):
    message, hint = refusal(write_zip(tmp_path / "face.pt", "face/data.pkl", "face/version"))
    assert "PyTorch" in message
    assert "torch.export.save" in hint
    assert "ONNX" in hint


@pytest.mark.parametrize("name", ["net/archive_format", "serialized_exported_program.json"])
def test_an_exported_program_is_pytorch_whatever_it_is_called(tmp_path, name):
    path = write_zip(tmp_path / "net.bin", name, "net/data/weights/weight_0", "net/models/model.json")
    assert recognize(path) == "pytorch"


def test_a_function_in_a_python_file_is_pytorch(tmp_path):
    (tmp_path / "net.py").write_text("raise SystemExit('recognizing must not run it')")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "inner.py").write_text("")
    assert recognize(tmp_path / "net.py:make") == "pytorch"
    assert recognize(tmp_path / "net:make") == "pytorch"
    assert recognize(tmp_path / "package.inner:make") == "pytorch"


@pytest.mark.parametrize("name", ["other.py:make", "other:make", "a.b:make"])
def test_a_function_in_no_file_says_the_form(tmp_path, name):
    message, hint = refusal(tmp_path / name)
    assert "there is no file" in message
    assert "FILE.py:FUNCTION" in hint


@pytest.mark.parametrize("name", ["net.py:", ":make", "net.py:2", "net.py:a.b", "c:make:it"])
def test_another_form_with_a_colon_is_a_missing_file(tmp_path, name):
    (tmp_path / "net.py").write_text("")
    assert "no such file" in refusal(tmp_path / name)[0]


def test_a_file_that_is_called_like_a_function_is_a_file(tmp_path):
    (tmp_path / "net.py").write_text("")
    path = tmp_path / "net.py:make"
    path.write_bytes(b"\0\0\0\0TFL3 and more")
    assert recognize(path) == "tflite"


def test_other_archive_is_named_by_what_is_in_it(tmp_path):
    assert "weights.npy" in refusal(write_zip(tmp_path / "face.npz", "weights.npy"))[0]


def test_cut_archive(tmp_path):
    whole = write_zip(tmp_path / "face.keras", "config.json", "metadata.json").read_bytes()
    assert "cut short" in refusal(write(tmp_path / "cut.keras", whole[:40]))[0]


def test_folder_without_a_saved_model(tmp_path):
    (tmp_path / "weights.bin").touch()
    assert "saved_model.pb, found weights.bin" in refusal(tmp_path)[0]


def test_saved_model_file_points_to_its_folder(tmp_path):
    path = write(tmp_path / "saved_model.pb", b"\x08\x01\x12\x04\x00\x01\x02\xff")
    assert str(tmp_path) in (refusal(path)[1] or "")
    assert recognize(tmp_path) == "saved_model"


def test_every_kind_is_recognized(models):
    kinds = {
        name: recognize(models / name) for name in ("face.keras", "face.h5", "exported", "dynamic.tflite")
    }
    assert kinds == {
        "face.keras": "keras",
        "face.h5": "keras",
        "exported": "saved_model",
        "dynamic.tflite": "tflite",
    }
    assert recognize(models / "whole.onnx") == "onnx"


def test_an_onnx_cut_anywhere_in_its_graph_is_refused(models, tmp_path):
    whole = (models / "whole.onnx").read_bytes()
    for length in np.linspace(len(whole) // 20, len(whole) - 1, 40).astype(int):
        path = write(tmp_path / "cut.onnx", whole[:length])
        assert "cut short" in refusal(path)[0], length


def test_a_wrong_suffix_is_noted():
    assert suffix_note(Path("face.onnx"), "tflite") == (
        "face.onnx is named .onnx and is a TFLite file by its content",
    )
    assert suffix_note(Path("face.onnx"), "onnx") == ()
    assert suffix_note(Path("face.bin"), "onnx") == ()


def test_a_zip_file_with_too_many_members_is_refused_before_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "MAX_MEMBERS", 2)
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, b"{}")
    with pytest.raises(SourceError, match="cut short or damaged"):
        recognize(path)
