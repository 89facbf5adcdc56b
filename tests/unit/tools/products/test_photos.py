"""A photo is determined by its number; another number gives another photo."""

import numpy as np
import pytest

from tools.products.catalogue import family, product
from tools.products.packages import pose_package
from tools.products.photos import CAREFUL, EVERYDAY, SIZE_PX, develop, take_photo
from tools.products.projection import Pose, homography

SEED = 7


def test_the_same_number_gives_the_same_file():
    assert take_photo(product(SEED, 2, 0), 5) == take_photo(product(SEED, 2, 0), 5)


def test_other_numbers_products_and_care_give_other_pictures():
    subject = product(SEED, 2, 0)
    files = {take_photo(subject, number) for number in range(6)}
    files |= {
        take_photo(subject, 0, care=CAREFUL),
        take_photo(subject, 0, care=EVERYDAY),
        take_photo(product(SEED, 2, 1), 0),
    }
    assert len(files) == 9


def test_a_photo_is_a_small_jpeg_of_the_network_s_size():
    photo = take_photo(product(SEED, 4, 0), 0)
    assert photo[:2] == b"\xff\xd8"
    assert len(photo) < 8000
    assert develop(photo).shape == (SIZE_PX, SIZE_PX, 3)
    assert develop(photo).dtype == np.uint8


def test_photos_of_one_product_vary_in_light_and_place():
    pictures = np.stack([develop(take_photo(product(SEED, 6, 0), number)) for number in range(12)]).astype(
        float
    )
    assert pictures.mean(axis=(1, 2, 3)).std() > 8
    assert pictures.std(axis=0).mean() > 25


@pytest.mark.parametrize("package", ["box", "carton", "pouch", "slab", "bottle", "can", "tin", "jar", "cup"])
def test_every_package_covers_the_middle_and_not_the_corners(package):
    index = next(i for i in range(400) if family(SEED, i).package == package)
    pose = Pose(yaw=0.3, pitch=0.2, roll=0.0, extent=0.7, centre=(0.5, 0.5), light=0.5)
    alpha = np.asarray(pose_package(product(SEED, index, 0), pose, 128, np.random.default_rng(0)))[..., 3]
    assert alpha[64, 64] == 255
    assert alpha[[0, 0, -1, -1], [0, -1, 0, -1]].max() == 0
    assert 0.1 < (alpha > 128).mean() < 0.8


def test_a_homography_maps_corners_to_corners():
    source = np.array([[0, 0], [10, 1], [11, 9], [-1, 10]], float)
    target = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    a, b, c, d, e, f, g, h = homography(source, target)
    w = g * source[:, 0] + h * source[:, 1] + 1
    mapped = np.column_stack(
        [(a * source[:, 0] + b * source[:, 1] + c) / w, (d * source[:, 0] + e * source[:, 1] + f) / w]
    )
    assert np.allclose(mapped, target)
