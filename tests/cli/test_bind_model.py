"""`evaluate --write-card` keeps a gallery; `gallery bind-model` binds one that edge-sdk 0.2 bound to the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.gallery import Gallery, KeyFile
from tests.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def plain_home(tmp_path: Path, model_path: Path) -> tuple[str, ...]:
    """Options that name a gallery bound to the model file, as edge-sdk 0.2 created it."""
    from edge_sdk.model.model_file import ModelFile

    file = ModelFile.open(model_path)
    key = KeyFile.create(tmp_path / "home.key")
    Gallery.create(
        tmp_path / "home.gallery", key=key, model_id=bytes(file.model_id), dimension=file.card.dimension
    )
    return ("--gallery", str(tmp_path / "home.gallery"), "--key", str(tmp_path / "home.key"))


def test_a_gallery_opens_with_the_file_whose_card_got_evidence(
    edge_sdk: Run, home: Any, products: list[Any], model_with_evidence: Path
) -> None:
    done = edge_sdk(
        "identify", products[0].enrol, "--model", model_with_evidence, "--threshold", "0.9", *home.files
    )
    assert done.code == 0
    assert done.out.endswith(": accepted as alice\n")
    done = edge_sdk("gallery", "bind-model", "--model", model_with_evidence, *home.files)
    assert (done.code, done.out) == (0, "bound to its embedding space already\n")


def test_bind_model_recognizes_the_file_before_its_evidence(
    edge_sdk: Run, plain_home: tuple[str, ...], model_with_evidence: Path, float_model_path: Path
) -> None:
    done = edge_sdk("doctor", "--model", model_with_evidence, *plain_home)
    assert done.code == 1
    assert "edge-sdk gallery bind-model" in done.out
    done = edge_sdk("gallery", "bind-model", "--model", float_model_path, *plain_home)
    assert done.code == 3
    done = edge_sdk("gallery", "bind-model", "--model", model_with_evidence, *plain_home)
    assert done.code == 0
    assert done.out.startswith("bound to embedding space ")
    done = edge_sdk("gallery", "status", *plain_home, "--json")
    assert '"model_kind": "embedding space"' in done.out


def test_bind_model_takes_the_original_file_only_if_it_computes_the_same_embeddings(
    edge_sdk: Run,
    plain_home: tuple[str, ...],
    model_path: Path,
    golden_model_path: Path,
    float_model_path: Path,
) -> None:
    bind = ("gallery", "bind-model", "--model")
    done = edge_sdk(*bind, golden_model_path, *plain_home)
    assert done.code == 3, "golden vectors were added after enrolment"
    done = edge_sdk(*bind, float_model_path, "--original", model_path, *plain_home)
    assert done.code == 3
    assert "have different networks or input contracts" in done.err
    done = edge_sdk(*bind, golden_model_path, "--original", model_path, *plain_home, "--json")
    assert done.code == 0
    assert '"bound": true' in done.out


def test_a_threshold_from_a_card_that_changed_needs_an_administrator(
    edge_sdk: Run, home: Any, products: list[Any], model_with_evidence: Path
) -> None:
    probe = ("identify", products[0].enrol, "--model", model_with_evidence, "--fmr", "1e-3")
    done = edge_sdk(*probe, *home.files)
    assert done.code == 3
    assert "the evidence in the model's card is not the one that the gallery has stored" in done.err
    done = edge_sdk("doctor", "--model", model_with_evidence, *home.files)
    assert "is not the one that the gallery has stored" in done.out
    done = edge_sdk("gallery", "policy", "--model", model_with_evidence, "--fpir", "0.01", *home.files)
    assert done.code == 0
    done = edge_sdk(*probe, *home.files)
    assert done.code == 0
