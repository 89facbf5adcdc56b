"""Settings of a run as one value that cannot hold a contradiction, and plan files."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_train.backbones import BACKBONES
from edge_train.data.augment import MAX_STRENGTH, SETS
from edge_train.errors import PlanError
from edge_train.losses import LOSSES, check_settings

DEFAULT_SIDE_PX = 96
MIN_SIDE_PX, MAX_SIDE_PX = 16, 512
#: Largest number of images in a batch.
MAX_BATCH = 4096
# Number of images in a batch that `defaults_for` aims at, and the largest number per subject.
_BATCH, _PER_SUBJECT = 128, 16
_MAX_STEPS, _MAX_MINUTES = 10_000_000, 60.0 * 24 * 30
_MAX_FILE_BYTES = 1 << 20
# TOML has integers of 64 bits with a sign.
_INTEGER_BITS = 63

#: Keys of each section of a plan file, and the settings that they set. Section ``loss`` also contains the settings of the loss.
SECTIONS: Mapping[str, Mapping[str, str]] = {
    "input": {"size": "size", "color": "color"},
    "network": {"backbone": "backbone", "width": "width", "dimension": "dimension"},
    "loss": {"name": "loss"},
    "training": {
        name: name
        for name in (
            "steps",
            "minutes",
            "subjects_per_batch",
            "images_per_subject",
            "augmentation",
            "augmentation_strength",
            "learning_rate",
            "weight_decay",
            "seed",
        )
    },
    "output": {"targets": "targets"},
}
_LOSS_SETTINGS = "loss_settings"
_LENGTH = {"steps", "minutes"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings of a training run; the same plan, pictures and machine give the same network.

    Args:
        size: (height, width) of the network's input in pixels, each 16..512.
        color: ``rgb`` or ``gray``.
        backbone: Name of a backbone (``edge_train.backbones.BACKBONES``).
        width: Factor for the number of channels, above 0, at most 8.
        dimension: Length of the embedding, 8..1024.
        loss: Name of a loss (``edge_train.losses.LOSSES``).
        loss_settings: Settings of the loss, such as ``{"margin": 0.3}``; the others follow from the number of subjects and steps.
        augmentation: Name of a set of augmentations: ``none``, ``products``, ``faces``, ``drawings``.
        augmentation_strength: Factor for the widths of all augmentations, 0..3.
        subjects_per_batch: P, at least 2.
        images_per_subject: K, at least 1, or at least 2 if the loss compares images of a subject. P x K is at most 4096.
        steps: Number of steps; None if ``minutes`` is given.
        minutes: Longest time of the training; None if ``steps`` is given. It is turned into a number of steps at the start.
        learning_rate: Peak learning rate, above 0, at most 10.
        weight_decay: Decoupled weight decay, 0..1.
        seed: Seed of all random choices, 0..2^31 - 1.
        targets: Names of the targets to convert for, at least one.

    Raises:
        PlanError: A value out of range, or settings that contradict each other.
    """

    size: tuple[int, int] = (DEFAULT_SIDE_PX, DEFAULT_SIDE_PX)
    color: str = "rgb"
    backbone: str = "quantized"
    width: float = 1.0
    dimension: int = 96
    loss: str = "arcface"
    loss_settings: Mapping[str, Any] = field(default_factory=dict)
    augmentation: str = "products"
    augmentation_strength: float = 1.0
    subjects_per_batch: int = 32
    images_per_subject: int = 4
    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    seed: int = 0
    targets: tuple[str, ...] = ("cpu",)

    def __post_init__(self) -> None:
        self._check_input()
        _check_name("backbone", self.backbone, BACKBONES)
        _check_number("width", self.width, 0, 8, above=True)
        _check_whole("dimension", self.dimension, 8, 1024)
        _check_name("loss", self.loss, LOSSES)
        if not isinstance(self.loss_settings, Mapping):
            raise PlanError(f"loss_settings: expected names and values, found {self.loss_settings!r}")
        check_settings(self.loss, self.loss_settings)
        _check_name("augmentation", self.augmentation, SETS)
        _check_number("augmentation_strength", self.augmentation_strength, 0, MAX_STRENGTH)
        self._check_batch()
        self._check_length()
        _check_number("learning_rate", self.learning_rate, 0, 10, above=True)
        _check_number("weight_decay", self.weight_decay, 0, 1)
        _check_whole("seed", self.seed, 0, 2**31 - 1)
        self._check_targets()

    def _check_input(self) -> None:
        if not (isinstance(self.size, tuple) and len(self.size) == 2):
            raise PlanError(
                f"size: expected (height, width) in pixels, found {self.size!r}",
                hint="a plan file has size = [128, 64], or size = 96 for a square; --size has 128x64",
            )
        for side, name in zip(self.size, ("height", "width"), strict=True):
            _check_whole(f"{name} of size", side, MIN_SIDE_PX, MAX_SIDE_PX)
        _check_name("color", self.color, ("rgb", "gray"))

    def _check_batch(self) -> None:
        _check_whole("subjects_per_batch", self.subjects_per_batch, 2, MAX_BATCH)
        _check_whole("images_per_subject", self.images_per_subject, 1, MAX_BATCH)
        if self.subjects_per_batch * self.images_per_subject > MAX_BATCH:
            raise PlanError(
                f"expected at most {MAX_BATCH} images in a batch, found {self.subjects_per_batch} subjects"
                f" x {self.images_per_subject} images",
                hint="lower subjects_per_batch or images_per_subject",
            )
        needs = LOSSES[self.loss].needs
        if self.images_per_subject < needs:
            raise PlanError(
                f"images_per_subject: expected at least {needs} for loss {self.loss}, which compares images of a subject,"
                f" found {self.images_per_subject}",
                hint=f"set images_per_subject to {needs} or more, or use a loss with class centres such as arcface",
            )

    def _check_length(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise PlanError(
                "expected either steps or minutes, found " + ("neither" if self.steps is None else "both"),
                hint="give the number of steps, or the longest time of the training",
            )
        if self.steps is not None:
            _check_whole("steps", self.steps, 1, _MAX_STEPS)
        if self.minutes is not None:
            _check_number("minutes", self.minutes, 0, _MAX_MINUTES, above=True)

    def _check_targets(self) -> None:
        from converters.targets import targets

        if not isinstance(self.targets, tuple) or not self.targets:
            raise PlanError(f"targets: expected names of targets, found {self.targets!r}")
        for name in self.targets:
            _check_name("targets", name, targets())
        if len(set(self.targets)) < len(self.targets):
            raise PlanError(f"targets: expected each target once, found {', '.join(self.targets)}")

    @classmethod
    def read(cls, path: str | Path, *, defaults: Mapping[str, Any] | None = None, **overrides: Any) -> Plan:
        """Read a plan file (docs/reference/training-plan.md).

        Args:
            path: A TOML file.
            defaults: Settings for those that the file does not contain, such as ``defaults_for(...)``. A length (``steps`` or
                ``minutes``) counts only if neither the file nor the overrides have one.
            overrides: Settings that replace those of the file; None leaves the file's. ``steps`` replaces ``minutes`` and the
                reverse. Another loss leaves out the file's settings of the loss.

        Raises:
            PlanError: The file cannot be read, has an unknown section or key, a value of a wrong type or out of range, or
                settings contradict each other.
        """
        return cls.of(_read_settings(Path(path)), defaults=defaults, **overrides)

    @classmethod
    def of(
        cls,
        settings: Mapping[str, Any] | None = None,
        *,
        defaults: Mapping[str, Any] | None = None,
        **overrides: Any,
    ) -> Plan:
        """Make a plan from settings, defaults and overrides; see ``read``.

        Raises:
            PlanError: A value out of range, or settings that contradict each other.
        """
        chosen = dict(settings or {})
        changes = {name: value for name, value in overrides.items() if value is not None}
        basis = dict(defaults or {})
        if changes.keys() & _LENGTH:
            chosen = {name: value for name, value in chosen.items() if name not in _LENGTH}
        if (chosen.keys() | changes.keys()) & _LENGTH:
            basis = {name: value for name, value in basis.items() if name not in _LENGTH}
        if "loss" in changes and changes["loss"] != chosen.get("loss", cls.loss):
            chosen.pop(_LOSS_SETTINGS, None)
        given = {**chosen, **changes}
        return cls(**{**basis, **_matching_batch(given), **given})

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        values = asdict(self)
        values[_LOSS_SETTINGS] = dict(self.loss_settings)
        values["size"], values["targets"] = list(self.size), list(self.targets)
        return values

    def to_toml(self) -> str:
        """Return the plan as the text of a plan file; ``read`` gives an equal plan."""
        values = self.to_json()
        lines = []
        for section, keys in SECTIONS.items():
            lines.append(f"[{section}]")
            for key, name in keys.items():
                if values[name] is not None:
                    lines.append(f"{key} = {_toml(values[name])}")
            if section == "loss":
                lines += [f"{key} = {_toml(value)}" for key, value in sorted(self.loss_settings.items())]
            lines.append("")
        return "\n".join(lines)

    def training_digest(self, *further: str) -> str:
        """Return a SHA-256, hex, over the settings that determine the trained network, which are all but the targets.

        Args:
            further: Further texts that determine it, such as the digest of the pictures and of starting weights.
        """
        values = self.to_json()
        del values["targets"]
        # 10 and 10.0 are the same setting.
        plain = {name: _plain(value) for name, value in values.items()}
        return hashlib.sha256(json.dumps([plain, *further], sort_keys=True).encode()).hexdigest()


def defaults_for(subjects: int, images: float) -> dict[str, Any]:
    """Choose settings for a number of training subjects.

    A batch has about 128 images. With fewer than 32 subjects, each of them has more images in a batch. The embedding is longer for
    more subjects.

    Args:
        subjects: Number of training subjects, at least 2.
        images: Median number of images per subject.

    Returns:
        ``subjects_per_batch``, ``images_per_subject`` and ``dimension``.
    """
    most = max(2, int(images))
    per_subject = min(4, most)
    per_batch = max(2, min(subjects, _BATCH // per_subject))
    per_subject = max(per_subject, min(_BATCH // per_batch, most, _PER_SUBJECT))
    dimension = 64 if subjects < 300 else 96 if subjects < 3000 else 128
    return {
        "subjects_per_batch": per_batch,
        "images_per_subject": per_subject,
        "dimension": dimension,
    }


def _matching_batch(given: Mapping[str, Any]) -> dict[str, int]:
    """Return P for a given K, for about 128 images in a batch; or K for a large P, so that the batch is allowed."""
    per_batch, per_subject = given.get("subjects_per_batch"), given.get("images_per_subject")
    if per_batch is None and isinstance(per_subject, int) and per_subject > 0:
        return {"subjects_per_batch": max(2, _BATCH // per_subject)}
    most = Plan.images_per_subject
    if per_subject is None and isinstance(per_batch, int) and per_batch * most > MAX_BATCH:
        return {"images_per_subject": max(1, MAX_BATCH // per_batch)}
    return {}


def _read_settings(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise PlanError(f"{path}: expected a plan file of at most 1 MiB, found a larger file")
        document = tomllib.loads(content.decode())
        _check_integers(document)
    except OSError as error:
        raise PlanError(f"{path}: expected a plan file, found none: {error.strerror or error}") from error
    except ValueError as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(
            f"{path}: expected TOML, found an error: {error}",
            hint="text needs quotation marks, and a size is [height, width]; docs/reference/training-plan.md has examples",
        ) from error
    except RecursionError as error:
        raise PlanError(f"{path}: expected a plan file, found deeply nested values") from error
    settings: dict[str, Any] = {}
    for section, values in document.items():
        if not isinstance(values, dict):
            raise PlanError(
                f"{path}: expected sections {_bracketed(SECTIONS)}, found the key {section!r} outside of a section",
                hint=_where(section),
            )
        if section not in SECTIONS:
            raise PlanError(
                f"{path}: expected sections {_bracketed(SECTIONS)}, found [{section}]",
                hint=_nearest(section, SECTIONS) or "docs/reference/training-plan.md lists all settings",
            )
        for key, value in values.items():
            _add(settings, section, key, value, path)
    return settings


def _check_integers(value: Any) -> None:
    """Refuse whole numbers that TOML does not have; Python's parser accepts them, and cannot print them."""
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
        raise ValueError(f"a whole number of more than {_INTEGER_BITS} bits")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_integers(item)


def _add(settings: dict[str, Any], section: str, key: str, value: Any, path: Path) -> None:
    keys = SECTIONS[section]
    if key in keys:
        settings[keys[key]] = _typed(keys[key], value)
        return
    if section == "loss":
        known = {*keys, *(name for entry in LOSSES.values() for name in entry.settings)}
        if key in known:
            settings.setdefault(_LOSS_SETTINGS, {})[key] = value
            return
        keys = dict.fromkeys(sorted(known), "")
    raise PlanError(
        f"{path}: [{section}]: expected {', '.join(keys)}, found {key!r}",
        hint=_nearest(key, keys) or _where(key),
    )


def _typed(name: str, value: Any) -> Any:
    if name == "size":
        sides = [value, value] if isinstance(value, int) else value
        return tuple(sides) if isinstance(sides, list) else sides
    if name == "targets":
        return tuple(value) if isinstance(value, list) else (value,)
    return value


def _where(key: str) -> str:
    """Say in which section a key belongs."""
    for section, keys in SECTIONS.items():
        if key in keys:
            return f"{key} belongs to section [{section}]"
    every = [key for keys in SECTIONS.values() for key in keys]
    return _nearest(key, every) or "docs/reference/training-plan.md lists all settings"


def _nearest(name: object, names: Iterable[str]) -> str | None:
    nearest = difflib.get_close_matches(str(name), list(names), 1, 0.6)
    return f"did you mean {nearest[0]!r}?" if nearest else None


def _bracketed(names: Iterable[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)


def _check_name(setting: str, value: object, names: Iterable[str]) -> None:
    if not isinstance(value, str) or value not in names:
        raise PlanError(
            f"{setting}: expected {', '.join(names)}, found {value!r:.100}",
            hint=_nearest(value, names) or f"set {setting} to a name of the list",
        )


def _check_whole(setting: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise PlanError(
            f"{setting}: expected a whole number in {low}..{high}, found {value!r:.100}",
            hint=f"change {setting}",
        )


def _check_number(setting: str, value: object, low: float, high: float, *, above: bool = False) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or (above and value == low):  # type: ignore[operator]
        least = f"above {low:g}" if above else f"from {low:g}"
        raise PlanError(
            f"{setting}: expected a number {least} to {high:g}, found {value!r:.100}",
            hint=f"change {setting}",
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value)
