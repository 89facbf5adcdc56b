"""Content of report pages, their safety against hostile names, and identical bytes on each run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from converters.evaluate.metrics import Interval, SmoothedDifference, judge
from converters.report.group_plots import log_ticks
from converters.report.groups import section
from converters.report.page import page_json, render_page
from converters.report.verdicts import of_comparison
from converters.results import ReportVerdict
from converters.targets.base import Estimate, ReportTable
from converters.targets.check import NetworkReport, TargetReport
from converters.targets.rule import RuleFinding
from tests import report_samples as samples


class Outline(HTMLParser):
    """Elements of a page and their text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.by_tag: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)
        self.by_tag.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            self.by_tag[tag][-1] += data

    @property
    def text(self) -> str:
        """Text of the page with single spaces, as a browser shows it."""
        return " ".join(self.by_tag["main"][0].split())


@pytest.fixture(scope="module")
def full() -> str:
    return render_page(**samples.everything())


@pytest.fixture(scope="module")
def hostile() -> str:
    return render_page(**samples.everything(name=samples.HOSTILE), thumbnails={})


def test_the_verdict_is_the_first_heading_of_a_conversion() -> None:
    outline = Outline(render_page(title="door", conversion=samples.report(cosine=0.86)))
    assert next(tag for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)) == "h1"
    assert outline.by_tag["h1"] == [
        "Far from the float model; do not use it before its error rates are measured."
    ]
    assert "door.cpu_int8.tflite has a mean cosine of 0.8600 (minimum 0.7600) to float" in outline.text


@pytest.mark.parametrize(
    ("cosine", "level"), [(0.999, "good"), (0.97, "caution"), (0.9, "bad")], ids=["close", "off", "far"]
)
def test_the_verdict_follows_the_cosine(cosine: float, level: str) -> None:
    report = samples.report(cosine=cosine)
    assert report.judge().level == level
    assert f'class="verdict {level}"' in render_page(title="door", conversion=report)


def test_a_conversion_without_an_integer_file_has_no_verdict() -> None:
    report = samples.report()
    alone = replace(report, artefacts=report.artefacts[:1])
    assert "There is no quantized file to judge." in Outline(render_page(title="door", conversion=alone)).text


def test_a_conversion_shows_source_contract_gates_files_and_operators() -> None:
    text = Outline(render_page(title="door", conversion=samples.report())).text
    for expected in (
        "door.onnx",
        "ab" * 32,
        "112x112 rgb, (pixel - 127.5) / 128",
        "200 images of 500",
        "every tensor has a static shape",
        "1.33 MB",
        "0.50×",
        "1 partition",
        "CONV_2D",
        "on 100 images that calibration has not seen",
        "a note on door",
    ):
        assert expected in text


def search_of(met: bool, trials: list[dict]) -> dict:
    """Return a search in the form of ``SearchResult.to_json``."""
    common = {"standard_error": 0.0002, "float_share": 0.125, "met": met, "found": "lower bound 0.8"}
    budget = {"goal": "a mean cosine of 0.995 to float", "kind": "cosine", "least": 0.995}
    return {
        "budget": budget,
        "met": met,
        "trials": [{**common, **t} for t in trials],
        "sensitive": [["conv_7", 0.01]],
        "unchanged": ["mirror PReLU channels"],
    }


@pytest.mark.parametrize(
    ("met", "expected"), [(True, "reached."), (False, "missed; the best recipe is written.")]
)
def test_a_searched_recipe_shows_what_was_tried(met: bool, expected: str) -> None:
    trials = [
        {"what": "plain: true min/max ranges", "cosine_mean": 0.8684, "cosine_min": 0.75, "kept": True},
        {
            "what": f"equalize {samples.HOSTILE}",
            "cosine_mean": 0.8512,
            "cosine_min": 0.7,
            "kept": False,
            "effect": "3 groups",
        },
    ]
    report = samples.report(searches={"cpu_int8": search_of(met, trials)})
    text = Outline(render_page(title="door", conversion=report)).text
    assert f"cpu_int8: searched for a mean cosine of 0.995 to float: {expected}" in text
    assert "0.8684" in text and "kept" in text and "dropped" in text and samples.HOSTILE in text
    assert "12.5 %" in text and "conv_7" in text
    assert "3 groups" in text and "change nothing" in text and "mirror PReLU channels" in text


def test_a_target_shows_its_rules_findings_and_tables() -> None:
    finding = RuleFinding("slow", "2 operators run on the CPU", "replace them", "runs-on-device")
    table = ReportTable("operators", ("Operator", "Processor"), (("CONV_2D", "TPU"),))
    network = NetworkReport(
        "door.tflite", 4, (finding,), (table,), {"Memory": "1 MB"}, Estimate(1.5, "formula"), ("door.cc",)
    )
    report = samples.report(targets=(TargetReport("edgetpu", "an accelerator", (network,)),))
    text = Outline(render_page(title="door", conversion=report)).text
    for expected in (
        "An accelerator.",
        "by-products: door.cc",
        "3 of 4",
        "slow 2 operators run on the CPU",
        "runs-on-device: replace them",
        "Memory: 1 MB",
        "1.5 ms per inference, formula",
        "door.tflite: operators.",
    ):
        assert expected in text


def test_a_distilled_network_shows_its_cosine_before_and_after() -> None:
    result = {
        "steps": 200,
        "images": 500,
        "before": 0.86,
        "after": 0.97,
        "leaky": 3,
        "note": "a note",
        "curve": [{"step": 0, "cosine": 0.86}, {"step": 200, "cosine": 0.97}],
    }
    page = render_page(title="door", conversion=samples.report(recoveries={"cpu_int8": result}))
    text = Outline(page).text
    assert "0.8600 before, 0.9700 after. 3 PReLUs replaced by LeakyReLU" in text and "a note" in text


def test_a_failed_gate_is_shown_with_its_finding() -> None:
    report = samples.report(
        artefacts=(
            samples.artefact("float32", "float32", 1.0),
            samples.artefact("cpu_int8", "int8", 0.9, failed=True),
        )
    )
    outline = Outline(render_page(title="door", conversion=report))
    assert "FAIL" in outline.text and "NaN" in outline.text and "3 of 4" in outline.text


def test_a_comparison_outranks_cosine_in_the_verdict(full: str) -> None:
    outline = Outline(full)
    assert outline.by_tag["h1"][0].startswith("The int8 file is worse than float by more than 1")
    assert "95 % interval" in outline.text
    assert "Far from the float model" not in outline.by_tag["header"][0]


def test_equal_artefacts_on_few_subjects_are_not_shown_to_be_equal() -> None:
    """With 40 subjects a loss of 3 / 40 of the people can be absent from the data (rule of three)."""
    page = render_page(title="door", comparison=samples.comparison(noise=0.0))
    assert "unless the loss falls on fewer than 7.2 % of the people" in Outline(page).by_tag["h1"][0]
    assert 'class="verdict caution"' in page


def test_equal_artefacts_on_many_subjects_are_called_no_worse_than_float() -> None:
    page = render_page(title="door", comparison=samples.comparison(noise=0.0, subjects=400, each=2))
    assert (
        "is no worse than float within a margin of 1 percentage point of TAR" in Outline(page).by_tag["h1"][0]
    )
    assert 'class="verdict good"' in page


def judged(
    pooled: tuple[float, float], *single: tuple[float, float], fmrs: tuple[float, ...] = (1e-3, 1e-4)
) -> ReportVerdict:
    """Return the verdict for smoothed changes of TAR with these intervals: over the range, and at each FMR."""

    def row(low: float, high: float, lowest: float, highest: float) -> SmoothedDifference:
        middle, bounds = (low + high) / 2, Interval(low, high, 0.95, 20, "")
        return SmoothedDifference(
            lowest, highest, 0.9, 0.9 + middle, middle, (high - low) / 4.2, bounds, 40, 0.03, 0.03
        )

    comparison = samples.comparison()
    main = row(*pooled, 1e-4, 1e-2)
    first = replace(
        comparison.candidates[0],
        pooled=main,
        verdict=judge(main, margin=0.01),
        smoothed=tuple(row(*ends, fmr, fmr) for fmr, ends in zip(fmrs, single, strict=False)),
    )
    return of_comparison(replace(comparison, candidates=(first,)))[0]


def test_a_difference_above_the_margin_is_no_worse_except_for_unseen_people() -> None:
    verdict = judged((-0.008, 0.004), (-0.03, 0.02))
    assert verdict.level == "caution"
    assert (
        verdict.sentence
        == "the int8 file is no worse than float within a margin of 1 percentage point of TAR,"
        " unless the loss falls on fewer than 7.2 % of the people"
    )
    assert "TAR over FMR 10⁻⁴ to 10⁻² changes by −0.20 points" in verdict.basis
    assert "40 subjects with two or more images" in verdict.basis


def test_a_difference_below_the_margin_is_bad() -> None:
    verdict = judged((-0.03, -0.02))
    assert verdict.level == "bad" and "worse than float by more than 1 percentage point" in verdict.sentence


def test_an_interval_that_contains_the_margin_states_the_subjects_that_would_tell() -> None:
    verdict = judged((-0.03, 0.02))
    assert verdict.level == "caution"
    assert re.search(r"^these images cannot tell if .*: about [\d,]+ more subjects would$", verdict.sentence)
    assert "too close to the margin" in judged((-0.015, -0.005)).sentence


def test_a_proven_loss_at_one_rate_calls_for_caution() -> None:
    verdict = judged((-0.008, 0.004), (-0.001, 0.001), (-0.2, -0.02))
    assert verdict.level == "caution"
    assert verdict.sentence.endswith("; at FMR 10⁻⁴ it is worse")
    assert "at FMR 10⁻⁴ it changes by −11.00 points" in verdict.basis


def test_an_unsupported_claim_states_the_data_that_it_needs(full: str) -> None:
    text = Outline(full).text
    assert "Not enough data. FMR 1e-06 needs at least 2,450 subjects, found 40." in text
    assert "Not enough data. FPIR 0.01 needs at least 300 strangers, found 20." in text
    assert "FPIR 0.1 needs at least 30 strangers, found 20." in text
    limit = "limit; the interval beside it is two-sided, so its upper end may lie slightly above the claim."
    assert text.count(limit) >= 2, "below the tables of 1:1 and 1:N"


def test_a_comparison_without_subjects_claims_no_error_rate() -> None:
    comparison = samples.comparison()
    first = comparison.candidates[0]
    bare = replace(
        first,
        verification=None,
        fidelity=None,
        differences=(),
        flips=(),
        pooled=None,
        verdict=None,
        group_changes=(),
        smoothed=(),
    )
    page = render_page(
        title="door", comparison=replace(comparison, verification=None, candidates=(bare,), groups=None)
    )
    text = Outline(page).text
    assert "The change of error rates is unknown" in text
    assert "FMR 10" not in text


def test_an_evaluation_alone_states_the_lowest_fmr_it_supports() -> None:
    outline = Outline(render_page(title="door", evaluations=(samples.evaluation(),)))
    assert outline.by_tag["h1"][0].startswith("The int8 file rejects ")
    assert outline.by_tag["h1"][0].endswith("of mated comparisons at FMR 10⁻², averaged over subjects.")
    assert "the data support claims down to FMR 10⁻²" in outline.text
    assert "12,480 non-mated comparisons" in outline.text
    for heading in (
        "Operating points",
        "Identification, 1:N",
        "Probability from the score",
        "Worst errors",
    ):
        assert heading in outline.by_tag["h2"]


def test_the_operator_with_the_largest_loss_is_named(full: str) -> None:
    text = Outline(full).text
    assert "The largest loss is at operator 3, DEPTHWISE_CONV_2D door3" in text
    assert "Operator 2, CONV_2D door2: rounding alone leaves 17.0 dB" in text
    assert "spans 6 of 256 steps: a few wide channels set the step size for all" in text


def test_no_operator_is_named_if_none_stands_out() -> None:
    errors = samples.layers()
    even = tuple(replace(t, sqnr_db=21.0 - t.position / 10) for t in errors.tensors)
    text = Outline(render_page(title="door", layers=replace(errors, tensors=even))).text
    assert "No operator stands out." in text and "At the output it is 0.87 %." in text
    assert "The largest loss" not in text


def test_one_page_shows_every_figure_once(full: str) -> None:
    identifiers = re.findall(r'\bid="([^"]+)"', full)
    assert len(identifiers) == len(set(identifiers))
    assert full.count("<svg") == 14
    targets = set(re.findall(r'href="#([^"]+)"', full)) | set(re.findall(r"url\(#([^)]+)\)", full))
    assert targets <= set(identifiers)


def test_images_are_shown_on_request_only() -> None:
    arguments = samples.everything() | {"attention": ()}
    without = render_page(**arguments)
    assert "<img" not in without
    assert "This page contains no images" in without and "thumbnails were not requested" in without
    name = arguments["comparison"].candidates[0].worst[0][0]
    shown = render_page(**arguments, thumbnails={name: samples.pixels()})
    assert "data:image/png;base64," in shown and f'alt="{name}"' in shown
    assert "may be personal data" in shown and "This page contains no images" not in shown


def test_attention_shows_the_image_and_a_map_per_network(full: str) -> None:
    assert len(re.findall("<img ", full)) == 3
    assert "Correlation of the first two maps" in full


def test_gray_images_become_maps_too() -> None:
    study = samples.attention()
    gray = type(study)(study.image, study.pixels[..., :1], study.maps)
    assert render_page(title="door", attention=(gray,)).count("<img ") == 3


def test_names_cannot_become_markup(hostile: str) -> None:
    outline = Outline(hostile)
    assert [attributes for tag, attributes in outline.elements if tag == "script"] == [
        {"type": "application/json", "id": "report"}
    ]
    assert not [
        attributes
        for tag, attributes in outline.elements
        if any(name.startswith("on") for name in attributes)
    ]
    images = [attributes for tag, attributes in outline.elements if tag in {"img", "image"}]
    assert all(str(attributes["src"]).startswith("data:image/png;base64,") for attributes in images)
    assert hostile.lower().count("<style") == hostile.lower().count("</style") == 1
    assert "alert(1)" in outline.text


def test_the_page_requests_nothing_from_outside(full: str, hostile: str) -> None:
    for page in (full, hostile):
        outline = Outline(page)
        for tag, attributes in outline.elements:
            for name, value in attributes.items():
                if name in {"src", "href", "action", "data", "srcset", "poster", "xlink:href"}:
                    assert str(value).startswith(("#", "data:image/png;base64,")), (tag, name, value)
                assert not re.match("https?:", str(value)) or (tag, name) == ("svg", "xmlns")
        assert "default-src 'none'" in page
        assert "@import" not in page and not re.search(r"url\((?!#)", page)


def test_the_same_values_give_the_same_bytes(full: str) -> None:
    assert render_page(**samples.everything()) == full


def test_no_clock_and_no_path_is_in_the_page(full: str) -> None:
    assert not re.search(r"\b20\d\d-\d\d-\d\d|/tmp/|/home/|/work/", full)


def test_plots_take_their_colours_from_the_page(full: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", full, re.DOTALL)
    assert drawings and all("var(--base)" in svg or "var(--candidate)" in svg for svg in drawings)
    assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", "".join(drawings))


def test_the_page_holds_its_json(full: str, hostile: str) -> None:
    for page, name in ((full, "door"), (hostile, samples.HOSTILE)):
        block = re.search(r'<script type="application/json" id="report">(.*?)</script>', page, re.DOTALL)
        assert block is not None
        expected = json.loads(json.dumps(page_json(**samples.everything(name=name)), allow_nan=False))
        assert json.loads(block[1]) == expected


def test_the_json_has_the_values_of_the_page() -> None:
    arguments = samples.everything()
    data = page_json(**arguments)
    assert data["conversion"] == arguments["conversion"].to_json()
    assert data["comparison"] == arguments["comparison"].to_json()
    assert data["evaluations"][1] == arguments["evaluations"][1].to_json()
    assert data["layers"]["tensors"][2]["rounding_db"] == 17.0
    assert data["verdict"] == [data["verdict"][0]] and "worse than float" in data["verdict"][0]
    assert "pixels" not in data["attention"][0]


def test_an_empty_page_states_that_nothing_was_measured() -> None:
    assert "Nothing was measured." in Outline(render_page(title="door")).text


def test_several_candidates_and_evaluations_share_a_page() -> None:
    arguments = samples.everything()
    comparison = arguments["comparison"]
    first = comparison.candidates[0]
    other = replace(first, artefact=samples.identity("search_int8", "int8"))
    arguments["comparison"] = replace(comparison, candidates=(first, other))
    arguments["evaluations"] += (samples.evaluation("search_int8", "int8"),)
    page = render_page(**arguments)
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    # Files of the same precision are labelled by name.
    assert "door.search_int8.tflite</text>" in page
    assert Outline(page).by_tag["header"][0].count("TAR over FMR") == 2
    links = re.findall(r"<a [^>]*>([^<]*)</a>", page[page.index("<nav") : page.index("</nav")])
    assert len(links) == len(set(links))


def test_an_axis_of_rates_has_two_labels_or_more() -> None:
    for low, high in ((6e-3, 3e-2), (2e-4, 0.1), (3e-9, 1.0), (0.011, 0.05), (8e-3, 0.9)):
        ticks = log_ticks(low, high)
        assert 2 <= len(ticks) <= 7
        assert all(low <= tick <= high for tick in ticks)


def test_all_covariates_are_shown_at_one_fmr() -> None:
    evaluation = samples.evaluation()
    assert evaluation.groups is not None
    covariate = evaluation.groups.covariates[0]
    lowest = min(covariate.points, key=lambda point: point.target_fmr)
    test = replace(lowest.tests[0], differs=True)
    marked = replace(
        covariate,
        covariate="marked",
        points=tuple(
            replace(point, tests=(test,)) if point is lowest else point for point in covariate.points
        ),
    )
    plain = replace(covariate, points=covariate.points)
    evidence = replace(evaluation.groups, covariates=(plain, marked))
    content = section("int8", evidence).content
    assert content.count(f"threshold {lowest.threshold:.4f}.") == 2
    assert "all figures below are at FMR 10⁻²" in content


def test_matplotlib_loads_where_it_draws(run_python: Callable[..., Any]) -> None:
    done = run_python(
        "import sys, converters.pipeline.convert, converters.report.page;"
        "print([m for m in ('matplotlib', 'PIL', 'tensorflow') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_missing_matplotlib_is_an_error_with_a_hint(run_python: Callable[..., Any]) -> None:
    done = run_python(
        "import sys; sys.path.insert(0, 'tests'); sys.modules['matplotlib'] = None\n"
        "import report_samples\n"
        "from converters.errors import ConversionError\n"
        "from converters.report.page import render_page\n"
        "try: render_page(title='door', layers=report_samples.layers())\n"
        "except ConversionError as error: print(error, error.hint)"
    )
    assert "matplotlib" in done.stdout and "pip install 'edge-embedding-sdk[convert]'" in done.stdout, (
        done.stderr
    )


def test_drawing_leaves_matplotlibs_settings_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    render_page(title="door", layers=samples.layers())
    assert dict(matplotlib.rcParams) == before


def test_a_candidate_without_differences_names_no_operator() -> None:
    errors = samples.layers()
    same = tuple(replace(t, sqnr_db=None, rounding_db=None, channel_steps=None) for t in errors.tensors)
    text = Outline(render_page(title="door", layers=replace(errors, tensors=same))).text
    assert "No tensor differs." in text


def test_thumbnails_keep_their_shape() -> None:
    name = "door/0001.jpg"
    comparison = samples.comparison()
    first = comparison.candidates[0]
    named = replace(first, worst=((name, 0.5),), flips=())
    page = render_page(
        title="door",
        comparison=replace(comparison, candidates=(named,)),
        thumbnails={name: np.zeros((40, 80, 3), np.uint8)},
    )
    assert re.search(r'width="72" height="36"', page)
