"""Training and held-out sets are disjoint, and finished photos are not drawn again."""

import numpy as np
import pytest

from tools.products import dataset
from tools.products.settings import Settings, SettingsMismatchError

TINY = Settings(families=2, variants=2, photos=3, epochs=2, batch=4)


def test_no_product_is_in_two_sets():
    settings = Settings()
    sets = [
        dataset.training_products(settings),
        dataset.evaluation_products(settings, 76),
        dataset.evaluation_products(settings, 240, skip=30),
        dataset.enrolled_products(settings),
        dataset.stranger_products(settings),
    ]
    names = [subject.name for products in sets for subject in products]
    assert len(set(names)) == len(names)


def test_half_of_the_strangers_are_siblings_of_what_is_enrolled():
    enrolled = {subject.family.index for subject in dataset.enrolled_products(Settings())}
    strangers = [subject.family.index for subject in dataset.stranger_products(Settings())]
    assert sum(index in enrolled for index in strangers) == 5


def test_photos_are_kept_and_drawing_continues_after_an_interruption(tmp_path):
    first = np.array(dataset.training_photos(TINY, tmp_path, workers=1))
    assert first.shape[:2] == (4, 3)
    done = np.lib.format.open_memmap(tmp_path / "photos_done.npy", "r+")
    photos = np.lib.format.open_memmap(tmp_path / "photos.npy", "r+")
    done[1], photos[1], photos[2] = False, 0, 0
    done.flush()
    photos.flush()
    again = dataset.training_photos(TINY, tmp_path, workers=1)
    assert np.array_equal(again[1], first[1])
    assert not again[2].any()  # product 2 is marked as drawn, so it was not drawn again


def test_a_work_folder_of_another_run_is_refused(tmp_path):
    TINY.claim(tmp_path)
    TINY.claim(tmp_path)
    with pytest.raises(SettingsMismatchError, match="other settings"):
        Settings(families=3).claim(tmp_path)
