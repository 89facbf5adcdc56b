"""The three ways of a run to get its network: a new one, a user's, or a student of a teacher."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.progress import stage
from edge_sdk.model.card import InputContract
from edge_train.data.split import Split
from edge_train.errors import PlanError
from edge_train.plan import Plan
from edge_train.run.pictures import CheckedPictures
from edge_train.run.request import TrainingRequest
from edge_train.run.training import TrainingParts, input_contract, labelled_parts, starting_network
from edge_train.run.work_folder import WorkFolder, write_whole

if TYPE_CHECKING:
    from edge_train.transfer.start import StartNetwork
    from edge_train.transfer.teacher import Teacher


class NewNetwork:
    """Train the plan's network from random weights with labels.

    Attributes:
        identity: JSON values that determine the result, beside plan and pictures.
        loss: Name of what is minimized; None for the plan's loss.
    """

    identity: Mapping[str, Any] = {}
    loss: str | None = None

    def plan(self, request: TrainingRequest, split: Split) -> Plan:
        """Return the plan for the training subjects.

        Raises:
            PlanError: A setting does not fit the network.
        """
        return request.plan_for(split.train)

    def contract(self, plan: Plan) -> InputContract:
        """Return the input contract of the network to train."""
        return input_contract(plan)

    def prepare(self, split: Split, work: WorkFolder) -> None:
        """Measure or compute what is needed before the training; a finished part is not repeated."""

    def parts(self, plan: Plan, split: Split, work: WorkFolder) -> TrainingParts:
        """Return network, loss and batches of the training."""
        return labelled_parts(plan, split, self.contract(plan))

    def finish(
        self, trained: Path, plan: Plan, pictures: CheckedPictures, name: str, work: WorkFolder
    ) -> Path:
        """Compare the trained network with what it came from; return the folder of the network to convert."""
        return trained


class TunedNetwork(NewNetwork):
    """Tune a user's network with labels; measure it before, and keep it if tuning does not help.

    Args:
        start: The user's network.
    """

    def __init__(self, start: StartNetwork) -> None:
        self._start = start
        self.identity = {"start": [start.sha256, start.contract.to_json(), list(start.notes)]}

    def plan(self, request: TrainingRequest, split: Split) -> Plan:
        """Return the plan with the size, colour and dimension of the network."""
        own = self._start
        fixed = _image(own.contract, own.dimension)
        plan = request.plan_for(split.train, **fixed)
        _check_equal(plan, fixed, f"as {own.path.name} has it", fixed)
        return plan

    def contract(self, plan: Plan) -> InputContract:
        """Return the contract of the user's network."""
        return self._start.contract

    def prepare(self, split: Split, work: WorkFolder) -> None:
        """Embed calibration and evaluation subjects with the network as it is, and keep the network."""
        from edge_train.transfer.choice import embed_subjects

        def measure(folder: Path) -> None:
            with stage("measure the network before tuning") as progress:
                vectors = {
                    part: embed_subjects(self._start.model, own, self._start.contract, progress=progress)
                    for part, own in (("calibration", split.calibration), ("evaluation", split.evaluation))
                }
            np.savez(folder / "vectors.npz", **vectors)  # type: ignore[arg-type]
            self._start.model.save(folder / "start.keras")

        work.stage("before", measure)

    def parts(self, plan: Plan, split: Split, work: WorkFolder) -> TrainingParts:
        """Return the user's network with the plan's loss."""
        return labelled_parts(plan, split, self._start.contract, self._start.model)

    def finish(
        self, trained: Path, plan: Plan, pictures: CheckedPictures, name: str, work: WorkFolder
    ) -> Path:
        """Choose between the network before and after tuning; the other one is ``NAME.tuned.keras`` or ``NAME.start.keras``."""
        import keras

        from edge_train.transfer.choice import choose, embed_subjects

        split, contract = pictures.split, self._start.contract

        def compare(folder: Path) -> None:
            tuned = keras.saving.load_model(trained / f"{name}.keras")
            with np.load(work.path / "before" / "vectors.npz") as stored:
                before = {part: stored[part] for part in ("calibration", "evaluation")}
            with stage("measure the network after tuning") as progress:
                after = {
                    part: embed_subjects(tuned, getattr(split, part), contract, progress=progress)
                    for part in before
                }
            choice = choose(
                (before["calibration"], after["calibration"]),
                split.calibration,
                (before["evaluation"], after["evaluation"]),
                split.evaluation,
                seed=plan.seed,
            )
            shutil.copytree(trained, folder, dirs_exist_ok=True)
            start = work.path / "before" / "start.keras"
            if choice.tuned_is_kept:
                shutil.copy2(start, folder / f"{name}.start.keras")
            else:
                (folder / f"{name}.keras").rename(folder / f"{name}.tuned.keras")
                shutil.copy2(start, folder / f"{name}.keras")
            values = {"file": self._start.path.name, **choice.to_json()}
            values["text"] = [*self._start.notes, *values["text"]]
            write_whole(folder / f"{name}.transfer.json", json.dumps(values, indent=1).encode())

        folder, _ = work.stage(f"chosen-{trained.name}", compare)
        return folder


class StudentNetwork(NewNetwork):
    """Train the plan's network to give the embeddings of a teacher; labels of the training images are not used.

    Args:
        teacher: The teacher.
    """

    loss = "1 - cosine to the teacher"

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self.identity = {"teacher": [teacher.sha256, teacher.contract.to_json()]}

    def plan(self, request: TrainingRequest, split: Split) -> Plan:
        """Return the plan with the dimension of the teacher, and its size and colour unless the request states others."""
        own = self._teacher
        fixed = _image(own.contract, own.dimension)
        plan = request.plan_for(split.train, **fixed)
        _check_equal(plan, fixed, f"as {own.path.name} has it", ("dimension",))
        return plan

    def parts(self, plan: Plan, split: Split, work: WorkFolder) -> TrainingParts:
        """Return the plan's network with the teacher's embeddings as targets."""
        from edge_train.training.curves import CalibrationCurve
        from edge_train.transfer.distillation import CosineToTeacher, TeacherBatches, as_subjects
        from edge_train.transfer.teacher import teacher_embeddings

        contract = self.contract(plan)
        images = as_subjects(split.train.samples, split.train.flat)
        with stage("embed the pictures with the teacher") as progress:
            embeddings = teacher_embeddings(
                self._teacher, images, work.path / "teacher-train", progress=progress
            )
        size = plan.subjects_per_batch * plan.images_per_subject
        labelled = len(split.calibration.flat) > len(split.calibration.names)
        return TrainingParts(
            starting_network(plan, contract),
            lambda steps: CosineToTeacher(),
            TeacherBatches(images, contract, embeddings, size=size, seed=plan.seed),
            CalibrationCurve(split.calibration, contract) if labelled else None,
            contract,
        )

    def finish(
        self, trained: Path, plan: Plan, pictures: CheckedPictures, name: str, work: WorkFolder
    ) -> Path:
        """Compare student and teacher on the evaluation subjects, or on the calibration images if there are none."""
        import keras

        from edge_train.transfer.agreement import agreement
        from edge_train.transfer.choice import embed_subjects
        from edge_train.transfer.teacher import teacher_embeddings

        split = pictures.split

        def compare(folder: Path) -> None:
            student = keras.saving.load_model(trained / f"{name}.keras")
            labelled = bool(split.evaluation.names)
            measured = split.evaluation if labelled else split.calibration
            with stage("compare with the teacher") as progress:
                expected = teacher_embeddings(
                    self._teacher, measured, work.path / "teacher-evaluation", progress=progress
                )
                vectors = embed_subjects(student, measured, self.contract(plan))
            result = agreement(vectors, expected, measured, labelled=labelled)
            shutil.copytree(trained, folder, dirs_exist_ok=True)
            text = [f"teacher {self._teacher.path.name}", *result.to_text()]
            values = {"file": self._teacher.path.name, **result.to_json(), "text": text}
            write_whole(folder / f"{name}.transfer.json", json.dumps(values, indent=1).encode())

        folder, _ = work.stage(f"compared-{trained.name}", compare)
        return folder


def read_comparison(folder: Path, name: str) -> dict[str, Any]:
    """Return the comparison of a folder that ``finish`` returned as JSON values; empty without one."""
    file = folder / f"{name}.transfer.json"
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return values


def open_approach(request: TrainingRequest, pictures: CheckedPictures) -> NewNetwork:
    """Open the network or the teacher of a request.

    Raises:
        TrainingError: The network cannot be started from.
        SourceError: The teacher cannot be read.
    """
    if request.start is not None:
        from edge_train.transfer.start import read_start

        with stage("read the network to start from"):
            start = read_start(request.start, contract=request.contract, layer=request.start_layer)
        return TunedNetwork(start)
    if request.teacher is not None:
        from edge_train.transfer.teacher import read_teacher

        with stage("read the teacher"):
            teacher = read_teacher(request.teacher, pictures.split.train, contract=request.contract)
        return StudentNetwork(teacher)
    return NewNetwork()


def _image(contract: InputContract, dimension: int) -> dict[str, Any]:
    color = "gray" if contract.color == "gray" else "rgb"
    return {"size": (contract.height, contract.width), "color": color, "dimension": dimension}


def _check_equal(plan: Plan, fixed: Mapping[str, Any], reason: str, names: Any) -> None:
    for name in names:
        if getattr(plan, name) != fixed[name]:
            raise PlanError(
                f"{name}: expected {fixed[name]}, {reason}, found {getattr(plan, name)}",
                hint=f"leave out {name}",
            )
