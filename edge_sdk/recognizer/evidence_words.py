"""The check of a model's operating points in words, with advice for each problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edge_sdk.escaping import escaped_line
from edge_sdk.gallery.rules.in_words import strangers_in_words
from edge_sdk.gallery.rules.transfer import MIN_SUBJECTS, TransferState
from edge_sdk.recognizer.evidence import CameraCheck, EvidenceCheck, PairCheck, PersonCheck, StrangersCheck

#: Pairs that are apart are named one by one up to this number.
MOST_PAIRS = 10


def evidence_in_words(
    check: EvidenceCheck,
    pictures: Mapping[str, Sequence[str]] | None = None,
    *,
    missing: Sequence[str] = (),
) -> tuple[str, ...]:
    """Describe a check in lines; a line with a problem begins with ``problem:``.

    Args:
        check: The check.
        pictures: Names of each person's pictures, to name those that show somebody else; their numbers if None.
        missing: Names of people without a usable picture.
    """
    lines = [f"problem: {escaped_line(name)} has no usable picture" for name in missing]
    lines += [
        f"threshold {check.threshold:.4f}, from the model's evidence, for {check.references}"
        f" template{'' if check.references == 1 else 's'}:"
        f" {strangers_in_words(check.fpir, claimed=check.claimed)}"
    ]
    lines += [line for person in check.people for line in _person(person, (pictures or {}).get(person.name))]
    lines += _pairs(check.pairs)
    lines += _camera(check.camera)
    if check.strangers is not None:
        lines.append(_strangers(check.strangers, check.fpir))
    lines.append(
        "no problem found; few people and pictures show only large problems"
        if check.fine and not missing
        else "problems were found; no threshold was changed"
    )
    return tuple(lines)


def _person(person: PersonCheck, pictures: Sequence[str] | None) -> Iterator[str]:
    name = escaped_line(person.name)
    for index in person.unlike:
        picture = escaped_line(pictures[index]) if pictures else f"picture {index + 1}"
        yield f"problem: {name}: {picture} resembles none of the others: check who it shows, and if it is sharp"
    if not person.probes:
        yield f"{name}: no further picture to recognize; give two or more, best of different days"
        return
    words = f"{name} is recognized in {person.matches} of {person.probes} further pictures"
    yield (
        words
        if person.recognized
        else f"problem: {words}: improve light, distance and focus, or take other pictures"
    )


def _pairs(pairs: Sequence[PairCheck]) -> Iterator[str]:
    apart = [pair for pair in pairs if pair.apart]
    if len(apart) <= MOST_PAIRS:
        yield from (f"{_names(pair)} are apart" for pair in apart)
    else:
        yield f"{len(apart)} of {len(pairs)} pairs of people are apart"
    yield from (_closer(pair) for pair in pairs if not pair.apart)


def _names(pair: PairCheck) -> str:
    return f"{escaped_line(pair.first)} and {escaped_line(pair.second)}"


def _closer(pair: PairCheck) -> str:
    closer = f"problem: {_names(pair)} are closer than the threshold in {pair.matches} of {pair.comparisons} comparisons"
    if pair.as_one_person:
        return f"{closer}: each is taken for the other; are they twins, or one person under two names?"
    return (
        f"{closer}: each may be taken for the other; are they relatives? it matters if they may open different doors;"
        " a lower --fpir separates more"
    )


def _camera(camera: CameraCheck) -> Iterator[str]:
    transfer, stated = camera.transfer, _of_100(camera.stated)
    if transfer.state is TransferState.NOT_STORED:
        yield "camera: not compared, because the model's card has no scores of different people; install a kit, or measure"
        yield "  the model with edge-convert evaluate --write-card"
        return
    if not transfer.pairs:
        yield f"camera: not compared: one person has no pair; {MIN_SUBJECTS} people or more are compared (--strangers)"
        return
    counted = (
        f"{transfer.subjects} people are {transfer.pairs} pair{'' if transfer.pairs == 1 else 's'}; {transfer.matches:.2g} of them match at cosine"
        f" {transfer.threshold:.4f}, the model's evidence states {transfer.expected:.2g}"
    )
    if transfer.matches != round(transfer.matches):
        counted += " (a pair counts by the share of its comparisons that match)"
    at_most = f"up to {_of_100(camera.at_most)} pairs may match at this camera (the evidence states {stated})"
    if transfer.state is TransferState.TOO_FEW:
        yield f"camera: too few people to compare with the evidence: {counted}"
        yield f"  {at_most}; {MIN_SUBJECTS} people or more are compared: add --strangers, a folder of other people"
        return
    if transfer.alarm:
        yield f"problem: camera: {counted}: the evidence does not hold for this camera or these people"
        yield (
            "  improve light, distance and focus; or raise the thresholds with edge-sdk gallery policy --adapt-threshold; or"
            " measure the model with images of this camera (edge-convert evaluate --write-card)"
        )
        return
    yield f"camera: as the evidence states: {counted}"
    if camera.noticed is None:
        yield f"  {at_most}; more people show smaller differences"
    else:
        yield (
            f"  a camera at which about {_of_100(camera.noticed)} pairs match would have been noticed in about 8 of 10 cases;"
            f" {at_most}"
        )


def _of_100(share: float) -> str:
    """Return a share as a number of 100, with two digits if it is below 10."""
    number = 100 * share
    return f"{number:.2g} of 100" if number < 9.95 else f"{number:.0f} of 100"


def _strangers(strangers: StrangersCheck, fpir: float) -> str:
    words = f"{len(strangers.accepted)} of {strangers.people} strangers would be accepted; at most {100 * fpir:g} of 100 are allowed"
    if strangers.accepted:
        names = ", ".join(escaped_line(name) for name in strangers.accepted)
        words += f" ({names}; check that none of them is one of your people)"
    if strangers.too_many:
        return f"problem: {words}: the threshold does not hold for this camera or these people"
    return words
