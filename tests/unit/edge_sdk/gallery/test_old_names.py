"""Old names of the gallery's methods work for one minor version, with a DeprecationWarning."""

import operator
from pathlib import Path

import pytest

from edge_sdk import gallery as package
from edge_sdk.gallery import CommandResult, Gallery, InMemoryKey
from edge_sdk.gallery.old_names import MOVED
from tests.simulated_file_system import SimulatedFileSystem


@pytest.fixture
def gallery() -> Gallery:
    return Gallery.create(
        Path("home.gallery"),
        key=InMemoryKey(b"z" * 32),
        model_id=bytes(32),
        dimension=8,
        filesystem=SimulatedFileSystem(),
    )


@pytest.mark.parametrize(("old", "new"), sorted(MOVED.items()))
def test_an_old_method_name_gives_the_new_method_and_a_warning(gallery: Gallery, old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"^gallery\.{old} is now gallery\.{new};") as caught:
        method = getattr(gallery, old)
    assert method == operator.attrgetter(new)(gallery)
    assert caught[0].filename == __file__


def test_the_components_can_be_called_as_the_methods_they_replace(gallery: Gallery) -> None:
    with pytest.warns(
        DeprecationWarning, match=r"^gallery\.audit\(\) is now gallery\.audit\.report\(\);"
    ) as caught:
        assert gallery.audit() == gallery.audit.report()
    assert caught[0].filename == __file__
    with pytest.warns(
        DeprecationWarning, match=r"^gallery\.attempts\(\) is now gallery\.attempts\.status\(\);"
    ):
        assert gallery.attempts() is gallery.attempts.status() is None


def test_the_old_name_of_a_commands_result_is_an_alias() -> None:
    with pytest.warns(DeprecationWarning, match=r"^gallery\.Obeyed is now gallery\.CommandResult;"):
        assert package.Obeyed is CommandResult


def test_a_name_that_never_existed_is_an_attribute_error(gallery: Gallery) -> None:
    with pytest.raises(AttributeError, match=r"^'Gallery' object has no attribute 'rotate_keys'$"):
        gallery.rotate_keys()
    with pytest.raises(AttributeError, match=r"^module 'edge_sdk\.gallery' has no attribute 'Obeys'$"):
        package.Obeys  # noqa: B018
