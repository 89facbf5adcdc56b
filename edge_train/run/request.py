"""Input of a run: pictures, plan and output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from converters.output import check_name
from edge_train.data.subjects import Subjects
from edge_train.errors import PlanError
from edge_train.plan import Plan, defaults_for

#: Longest time of the training in minutes, if neither file nor settings state a length.
DEFAULT_MINUTES = 10.0


@dataclass(frozen=True, kw_only=True)
class PlanSource:
    """A plan file and settings, from which the plan follows as soon as the training subjects are known.

    Args:
        file: Plan file; None for none.
        settings: Settings of ``Plan`` that replace those of the file; ``steps`` replaces ``minutes`` and the reverse.

    Raises:
        PlanError: The file cannot be read, a value is out of range, or settings contradict each other.
    """

    file: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._plan({})

    @property
    def seed(self) -> int:
        """Seed of all random choices, which no default depends on."""
        return self._plan({}).seed

    def plan(self, subjects: Subjects, **defaults: Any) -> Plan:
        """Return the plan for some training subjects: settings, then the file, then defaults for the number of subjects.

        Args:
            subjects: The training subjects.
            defaults: Settings in place of the defaults, such as those of a network to start from.

        Raises:
            PlanError: A value is out of range, or settings contradict each other.
        """
        own = defaults_for(len(subjects.names), median(map(len, subjects.images)))
        return self._plan({**own, **defaults})

    def _plan(self, defaults: Mapping[str, Any]) -> Plan:
        defaults = {"minutes": DEFAULT_MINUTES, **defaults}
        if self.file is None:
            return Plan.of(defaults=defaults, **self.settings)
        return Plan.read(self.file, defaults=defaults, **self.settings)


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """Pictures, plan and output of a run.

    Args:
        pictures: Folder, .tar or .zip with one folder of pictures per subject.
        output: Folder for the results; it must be new or empty, or contain results of the same request.
        plan: Settings of the training, or their source.
        name: The model's name, the beginning of the file names; None for the name of the output folder.
        split: CSV file with the columns ``subject`` and ``part`` (train, calibration, evaluation); None splits by a hash of the names.
        show_pictures: Show pictures on the page. They may be personal data.
        tensorboard: Also write TensorBoard event files.
        start: A user's Keras network to start from; None for a new network.
        start_layer: Name of the layer of ``start`` whose output is the embedding; None to take the end.
        teacher: A network whose embeddings are learnt in place of labels; None for labels.
        contract: JSON file with the input contract of ``start`` or ``teacher``; None for the file beside it, or its card.
        unlabelled: The pictures have no subjects; needs a teacher.
        evaluation: Folder or archive with one folder per subject, for error rates of a run on unlabelled pictures; None for no
            error rates.

    Raises:
        ConversionError: The name cannot be the beginning of file names.
        PlanError: Both a network to start from and a teacher, or unlabelled pictures without a teacher.
    """

    pictures: Path
    output: Path
    plan: Plan | PlanSource
    name: str | None = None
    split: Path | None = None
    show_pictures: bool = True
    tensorboard: bool = False
    start: Path | None = None
    start_layer: str | None = None
    teacher: Path | None = None
    contract: Path | None = None
    unlabelled: bool = False
    evaluation: Path | None = None

    def __post_init__(self) -> None:
        if self.start is not None and self.teacher is not None:
            raise PlanError("expected a network to start from or a teacher, found both")
        if self.unlabelled and self.teacher is None:
            raise PlanError(
                "expected a teacher for unlabelled pictures, found none", hint="give --teacher, or label them"
            )
        object.__setattr__(self, "pictures", Path(self.pictures))
        object.__setattr__(self, "output", Path(self.output))
        check_name(self.model_name)

    def plan_for(self, subjects: Subjects, **defaults: Any) -> Plan:
        """Return the plan for some training subjects; ``defaults`` are those of a source of a plan."""
        return self.plan if isinstance(self.plan, Plan) else self.plan.plan(subjects, **defaults)

    @property
    def model_name(self) -> str:
        """The model's name: ``name`` if it is given, otherwise the name of the output folder."""
        return self.name if self.name is not None else self.output.resolve().name
