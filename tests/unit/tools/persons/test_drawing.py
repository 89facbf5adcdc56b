"""Pictures depend only on their numbers; persons keep their clothes, and cameras differ."""

import numpy as np

from tools.persons.cameras import CAMERAS, SIZE_PX, develop, take_picture
from tools.persons.wardrobe import BAGS, BOTTOMS, HAIRSTYLES, PATTERNS, TOPS, person

SEED = 3


def _pictures(numbers, cameras=CAMERAS, *, count=1):
    """Take pictures: shape (persons, cameras, count, H, W, 3)."""
    return np.array(
        [
            [
                [develop(take_picture(SEED, person(SEED, number), camera, place)) for place in range(count)]
                for camera in cameras
            ]
            for number in numbers
        ]
    )


def test_a_picture_is_the_same_bytes_each_time_and_differs_from_every_other():
    first, again = (take_picture(SEED, person(SEED, 4), CAMERAS[0], 1) for _ in range(2))
    others = [
        take_picture(SEED, person(SEED, 4), CAMERAS[0], 2),
        take_picture(SEED, person(SEED, 4), CAMERAS[1], 1),
        take_picture(SEED + 1, person(SEED, 4), CAMERAS[0], 1),
    ]
    assert first == again
    assert first not in others
    assert develop(first).shape == (*SIZE_PX, 3)


def test_clothes_stay_the_same_over_pictures_of_a_camera():
    """Without occlusion and neighbours in most pictures, the median picture of a person differs between persons."""
    pictures = _pictures((0, 2, 4, 6), CAMERAS[:1], count=24).astype(np.float32)[:, 0, :, 30:110, 20:44]
    first, second = np.median(pictures[:, :12], axis=1), np.median(pictures[:, 12:], axis=1)
    distances = np.abs(first[:, None] - second[None]).mean(axis=(2, 3, 4))
    assert (distances.argmin(axis=1) == np.arange(4)).all()


def test_a_camera_has_its_own_light_and_surroundings():
    pictures = _pictures(range(0, 24, 2)).astype(np.float32)
    means = pictures.mean(axis=(0, 2, 3, 4))  # (cameras, 3): colour balance and brightness
    distances = np.abs(means[:, None] - means[None]).sum(axis=2) + 1000 * np.eye(len(CAMERAS))
    assert distances.min() > 8
    assert means[1].max() < 0.6 * means[0].mean()  # the garage is dark


def test_a_look_alike_has_the_colours_of_the_person_before_and_another_bag_and_pattern():
    for number in range(0, 60, 2):
        model, double = person(SEED, number), person(SEED, number + 1)
        for cloth, other in ((model.top, double.top), (model.bottom, double.bottom)):
            assert max(abs(a - b) for a, b in zip(cloth.colour, other.colour, strict=True)) < 60
        assert (model.top.pattern, model.bag) != (double.top.pattern, double.bag)
        assert model.top.pattern != double.top.pattern and model.bag != double.bag


def test_every_garment_hairstyle_and_bag_can_be_drawn():
    """All kinds occur among 200 persons; each new kind is drawn."""
    missing = {*PATTERNS, *TOPS, *BOTTOMS, *HAIRSTYLES, *BAGS}
    for number in range(200):
        subject = person(SEED, number)
        kinds = {subject.top.pattern, subject.top.kind, subject.bottom.kind, subject.hairstyle, subject.bag}
        if kinds & missing:
            missing -= kinds
            assert develop(take_picture(SEED, subject, CAMERAS[0], 0)).std() > 10
    assert not missing
