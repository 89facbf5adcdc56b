"""Tables and picture of the stored results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.compare_losses.cells import FMRS

Row = dict[str, Any]


def markdown(rows: Sequence[Row]) -> str:
    """Return the tables of all data sets and budgets, and a sentence on budget and loss for each data set."""
    parts = []
    for data_set in dict.fromkeys(row["data_set"] for row in rows):
        of_set = [row for row in rows if row["data_set"] == data_set]
        budgets = sorted({row["steps"] for row in of_set})
        parts += [f"### {data_set}: {steps} steps\n\n{_table(of_set, steps)}" for steps in budgets]
        if int8 := [row for row in of_set if "int8" in row]:
            parts.append(f"### {data_set}: cost of int8\n\n{_int8_table(int8)}")
        if len(budgets) > 1:
            parts.append(budget_sentence(of_set, budgets[0], budgets[-1]))
    return "\n\n".join(parts) + "\n"


def budget_sentence(rows: Sequence[Row], small: int, large: int) -> str:
    """Compare the effect of the budget with the effect of the loss.

    The effect of the budget is the median over losses of the fall of EER from the small to the large budget; the effect of the
    loss is the range of the middle half of the losses at the large budget.
    """
    first, last = _mean_eers(rows, small), _mean_eers(rows, large)
    both = [loss for loss in last if loss in first]
    fall = float(np.median([first[loss] - last[loss] for loss in both]))
    low, high = np.percentile(list(last.values()), [25, 75])
    spread = float(high - low)
    verdict = "matters more than" if fall > spread else "does not matter more than"
    return (
        f"From {small} to {large} steps, EER falls by {100 * fall:.1f} points (median of {len(both)} losses). At {large} steps, the"
        f" middle half of the losses spans {100 * spread:.1f} points: the budget {verdict} the choice among them."
    )


def _mean_eers(rows: Iterable[Row], steps: int) -> dict[str, float]:
    eers: dict[str, list[float]] = {}
    for row in rows:
        if row["steps"] == steps and "float" in row:
            eers.setdefault(row["loss"], []).append(row["float"]["eer"])
    return {loss: float(np.mean(values)) for loss, values in eers.items()}


def _of_losses(rows: Iterable[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["loss"], []).append(row)
    return groups


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _table(rows: Sequence[Row], steps: int) -> str:
    """Return one row per loss: EER with its range over seeds, TAR with its interval over subjects, one-shot accuracy, time."""
    lines = [
        "| loss | EER % (range) | "
        + " | ".join(f"TAR % at {fmr:g} (95 %)" for fmr in FMRS)
        + " | 20-way % | CPU s | seeds |",
        "|---|" + "---|" * (len(FMRS) + 4),
    ]
    groups = _of_losses(row for row in rows if row["steps"] == steps)
    for loss, group in sorted(groups.items(), key=lambda item: _order(item[1])):
        good = [row["float"] for row in group if "float" in row]
        if not good:
            lines.append(f"| {loss} | {group[0]['error'].splitlines()[0]} |" + " |" * (len(FMRS) + 3))
            continue
        eers = [rates["eer"] for rates in good]
        span = f" ({_percent(min(eers))}..{_percent(max(eers))})" if len(eers) > 1 else ""
        cells = [_percent(float(np.mean(eers))) + span]
        cells += [_tar_cell(good, place) for place in range(len(FMRS))]
        cells.append(_percent(float(np.mean([rates["one_shot"] for rates in good]))))
        cells.append(f"{np.mean([row['cpu_s'] for row in group if 'cpu_s' in row]):.0f}")
        failed = len(group) - len(good)
        cells.append(f"{len(good)}" + (f", {failed} failed" if failed else ""))
        lines.append(f"| {loss} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _order(group: Sequence[Row]) -> float:
    eers = [row["float"]["eer"] for row in group if "float" in row]
    return float(np.mean(eers)) if eers else 1.0


def _tar_cell(good: Sequence[Row], place: int) -> str:
    """Return the mean TAR of the seeds, and the mean ends of their intervals over subjects."""
    values = [rates["tar"][place] for rates in good]
    if any(value is None for value in values):
        return "-"
    limits = [rates["intervals"][place] for rates in good]
    text = _percent(float(np.mean(values)))
    if all(limit is not None for limit in limits):
        low, high = np.mean(np.array(limits), axis=0)
        text += f" ({_percent(float(low))}..{_percent(float(high))})"
    return text


def _int8_table(rows: Sequence[Row]) -> str:
    lines = [
        "| loss | cosine to float | EER % float | EER % int8 | TAR % at 0.01 float | TAR % at 0.01 int8 |",
        "|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: float(row["float"]["eer"])):
        plain, quantized = row["float"], row["int8"]
        lines.append(
            f"| {row['loss']} | {quantized['cosine']:.4f} | {_percent(plain['eer'])} | {_percent(quantized['eer'])} |"
            f" {_percent(plain['tar'][0])} | {_percent(quantized['tar'][0])} |"
        )
    return "\n".join(lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the EER of every loss at both budgets, one point per seed, one panel per data set."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    sets = list(dict.fromkeys(row["data_set"] for row in rows))
    losses = sorted(_of_losses(rows), key=lambda loss: _order(_of_losses(rows)[loss]))
    figure, axes = pyplot.subplots(
        1, len(sets), figsize=(4.5 * len(sets) + 1.5, 0.27 * len(losses) + 1.4), sharey=True, squeeze=False
    )
    for axis, data_set in zip(axes[0], sets, strict=True):
        of_set = [row for row in rows if row["data_set"] == data_set and "float" in row]
        for steps, colour in zip(
            sorted({row["steps"] for row in of_set}), ("#d08a2e", "#1f6f8b"), strict=False
        ):
            points = [
                (100 * row["float"]["eer"], losses.index(row["loss"]))
                for row in of_set
                if row["steps"] == steps
            ]
            axis.plot(
                *zip(*points, strict=True),
                "o",
                color=colour,
                alpha=0.75,
                markersize=5,
                label=f"{steps} steps",
            )
        axis.set(title=f"{data_set}, held-out subjects", xlabel="EER, %", xlim=(0, None))
        axis.grid(axis="x", color="#dddddd")
        axis.legend(loc="upper right", frameon=False)
    axes[0][0].set_yticks(range(len(losses)), losses)
    axes[0][0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
