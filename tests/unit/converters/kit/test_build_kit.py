"""Building a defined kit: evidence is attached to the measured network only, and every failure leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from converters.errors import ConversionError
from converters.kit.build import build_kit
from converters.kit.bundling import KitResult
from converters.kit.definition import FACE, KitDefinition, KitNetwork
from converters.kit.evidence import KitEvidence
from converters.kit.licences import NOTICE_FILE, LicenceError, Terms
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from converters.quantize.saved_recipe import read_saved
from edge_sdk import zoo
from edge_sdk.errors import ModelError
from edge_sdk.kit import KitFile, Role
from edge_sdk.model.model_file import ModelFile
from edge_sdk.model.model_id import space_id
from edge_sdk.model.operating_point import OperatingPoint
from tests.networks import CONTRACT, tiny, to_convert

OTHER = "1" * 64


@dataclass(frozen=True)
class Small:
    """A kit of one small network, whose public file is a file on this computer."""

    definition: KitDefinition
    public: Path

    def build(self, output: Path) -> KitResult:
        return build_kit(self.definition, output, accept=lambda terms: True)

    def with_evidence(self, space: str, *points: OperatingPoint) -> Small:
        evidence = KitEvidence(space, OTHER, "0" * 64, points, {}, None, {}, {})
        path = self.definition.evidence.with_name(f"{space[:8]}.json")
        path.write_text(json.dumps(evidence.to_json()))
        return replace(self, definition=replace(self.definition, evidence=path))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Convert a small network once; return its source, its recipe with statistics, and its embedding space."""
    folder = tmp_path_factory.mktemp("recorded")
    source, images = to_convert(folder)
    output = folder / "converted"
    convert(ConversionOptions(source, CONTRACT, images, output, name="tiny", licence="Apache-2.0"))
    card = ModelFile.open(output / "tiny.cpu_int8.tflite").card
    space = space_id(card.network_sha256, card.input).hex()
    return source, output / "tiny.cpu_int8.recipe.json", space


@pytest.fixture
def small(recorded: tuple[Path, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    monkeypatch.delenv(zoo.MIRROR, raising=False)
    monkeypatch.setenv("EDGE_SDK_CACHE", str(tmp_path / "cache"))
    source, recipe, _ = recorded
    public = tmp_path / "public" / "tiny.tflite"
    public.parent.mkdir()
    public.write_bytes(source.read_bytes())
    entry = replace(
        zoo.entry("sface"),
        name="tiny",
        file="tiny.tflite",
        address=public.as_uri(),
        sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        size_bytes=source.stat().st_size,
        contract=CONTRACT,
    )
    network = KitNetwork("face.tflite", Role.EMBEDDER, "tiny", "1", (entry,), recipe)
    evidence = tmp_path / "evidence.json"
    definition = KitDefinition("small", "1", (network,), evidence, ("a limit",), ("an author",))
    return Small(definition, public)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in ("public", "cache"))


def test_the_measured_network_gets_its_evidence_without_images(
    small: Small,
    recorded: tuple[Path, Path, str],
    make_evidence: Callable[..., OperatingPoint],
    tmp_path: Path,
) -> None:
    point = make_evidence(fmr=2e-4, non_mated_trials=20_000)
    kit = small.with_evidence(recorded[2], point)
    result = kit.build(tmp_path / "kit")
    opened = KitFile.open(tmp_path / "kit" / "small.edgekit")
    assert opened.manifest.fpir == 0.01
    assert opened.manifest.limits == ("a limit",)
    embedder = opened.manifest.embedder
    assert (embedder.licence, embedder.source) == ("Apache-2.0", small.public.as_uri())
    texts = {member.file: opened.read(member) for member in opened.manifest.of(Role.LICENCE)}
    assert sorted(texts) == ["licence.apache-2.0.txt", NOTICE_FILE]
    assert b"an author" in texts[NOTICE_FILE]
    file = tmp_path / "face.tflite"
    file.write_bytes(opened.read(embedder))
    assert ModelFile.open(file).card.operating_points == (point,)
    assert kit.build(tmp_path / "again").sha256 == result.sha256


def test_a_mirror_with_another_file_name_gives_the_same_kit(
    small: Small,
    recorded: tuple[Path, Path, str],
    make_evidence: Callable[..., OperatingPoint],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kit = small.with_evidence(recorded[2], make_evidence())
    downloaded = kit.build(tmp_path / "downloaded")
    small.public.rename(small.public.with_name("renamed.bin"))
    monkeypatch.setenv(zoo.MIRROR, small.public.parent.as_uri())
    assert kit.build(tmp_path / "mirrored").sha256 == downloaded.sha256


def test_evidence_of_another_recipe_is_refused(
    small: Small, make_evidence: Callable[..., OperatingPoint], tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match="expected evidence of the int8 network"):
        small.with_evidence("f" * 64, make_evidence()).build(tmp_path / "kit")
    assert not (tmp_path / "kit").exists()


def test_a_network_with_other_bytes_of_the_same_recipe_gets_the_evidence_and_says_so(
    small: Small, make_evidence: Callable[..., OperatingPoint], tmp_path: Path
) -> None:
    point = make_evidence(fmr=2e-4, non_mated_trials=20_000)
    result = _of_other_tools(small).with_evidence("f" * 64, point).build(tmp_path / "kit")
    assert result.card.operating_points == (point,)
    assert result.notes == (result.card.limits,)
    assert "has other bytes" in result.notes[0]
    assert result.notes[0] in (tmp_path / "kit" / "small.kit.html").read_text()


def test_licences_are_asked_for_once_and_before_a_download(small: Small, tmp_path: Path) -> None:
    shown: list[Sequence[Terms]] = []

    def refuse(terms: Sequence[Terms]) -> bool:
        shown.append(terms)
        return False

    small.public.unlink()
    with pytest.raises(LicenceError, match="nothing was downloaded") as error:
        build_kit(small.definition, tmp_path / "kit", accept=refuse)
    assert "--accept-licences" in (error.value.hint or "")
    assert [[each.network for each in terms] for terms in shown] == [["face.tflite"]]
    assert "not stated" in shown[0][0].line()
    assert left(tmp_path) == []


def test_an_altered_download_is_refused_and_nothing_is_written(
    small: Small, make_evidence: Callable[..., OperatingPoint], tmp_path: Path
) -> None:
    kit = small.with_evidence("f" * 64, make_evidence())
    data = bytearray(small.public.read_bytes())
    data[-1] ^= 1
    small.public.write_bytes(bytes(data))
    with pytest.raises(ModelError, match="found another file; nothing was kept"):
        kit.build(tmp_path / "kit")
    assert not (tmp_path / "kit").exists()


def test_a_mirror_without_the_file_and_with_another_one_under_its_name(
    small: Small,
    make_evidence: Callable[..., OperatingPoint],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kit = small.with_evidence("f" * 64, make_evidence())
    mirror = tmp_path / "public" / "mirror"
    mirror.mkdir()
    monkeypatch.setenv(zoo.MIRROR, str(mirror))
    with pytest.raises(ModelError, match="found none of this size"):
        kit.build(tmp_path / "kit")
    (mirror / "tiny.tflite").write_bytes(tiny(seed=5).data)
    with pytest.raises(ModelError, match="found a different file"):
        kit.build(tmp_path / "kit")
    assert not (tmp_path / "kit").exists()


def test_all_files_that_a_mirror_lacks_are_in_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(zoo.MIRROR, str(tmp_path))
    with pytest.raises(ModelError) as missing:
        build_kit(FACE, tmp_path / "kit", accept=lambda terms: pytest.fail("asked"))
    assert [name for name in ("sface: ", "yunet: ") if name in str(missing.value)] == ["sface: ", "yunet: "]
    assert str(missing.value).count("expected a file of") == len(FACE.networks)
    assert "put the files there" in str(missing.value.hint)


def test_an_earlier_kit_is_replaced_and_the_output_says_so(
    small: Small,
    recorded: tuple[Path, Path, str],
    make_evidence: Callable[..., OperatingPoint],
    tmp_path: Path,
) -> None:
    kit = small.with_evidence(recorded[2], make_evidence(fmr=2e-4, non_mated_trials=20_000))
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "small.edgekit").write_bytes(b"another kit")
    result = kit.build(tmp_path / "kit")
    assert result.replaced == hashlib.sha256(b"another kit").hexdigest()
    assert f"replaced an earlier file with SHA-256 {result.replaced}" in result.to_text()
    assert kit.build(tmp_path / "kit").replaced == ""


def test_an_output_that_cannot_be_made_is_refused_before_the_licences_are_shown(
    small: Small, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConversionError, match="cannot be written"):
        build_kit(small.definition, tmp_path / "file" / "kit", accept=lambda terms: pytest.fail("asked"))


def test_an_interrupted_build_leaves_nothing(
    small: Small,
    recorded: tuple[Path, Path, str],
    make_evidence: Callable[..., OperatingPoint],
    tmp_path: Path,
) -> None:
    kit = small.with_evidence(recorded[2], make_evidence())
    before = left(tmp_path)

    def interrupt(terms: Sequence[Terms]) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_kit(kit.definition, tmp_path / "kit", accept=interrupt)
    assert left(tmp_path) == before


def _of_other_tools(kit: Small) -> Small:
    """Return a kit whose recipe records another digest, as if other tools had recorded it."""
    (network,) = kit.definition.networks
    assert network.recipe is not None
    recorded = read_saved(network.recipe).recording
    assert recorded is not None
    recipe = kit.definition.evidence.with_name("other.recipe.json")
    recipe.write_text(network.recipe.read_text().replace(recorded.int8_sha256, OTHER))
    return replace(kit, definition=replace(kit.definition, networks=(replace(network, recipe=recipe),)))
