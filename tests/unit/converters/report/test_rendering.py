"""Templates: values are escaped, and every template is used."""

from __future__ import annotations

from importlib import resources

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from converters.report import rendering


def test_text_is_escaped_and_markup_is_not() -> None:
    figures = [("<b>", Markup("<b>x</b>"), '"')]
    page = rendering.render("key_figures.html", figures=figures)
    assert "<dt>&lt;b&gt;</dt>" in page and "<b>x</b>" in page and "&#34;" in page


def test_marks_that_reorder_text_are_shown_as_escapes() -> None:
    page = rendering.render("key_figures.html", figures=[("a\u202eb", Markup("<b>x</b>"), "c\u200bd\ne")])
    assert "<dt>a\\u202eb</dt>" in page
    assert "c\\u200bd\ne" in page and "<b>x</b>" in page


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="figures"):
        rendering.render("key_figures.html")


def test_every_template_is_part_of_a_page() -> None:
    folder = resources.files("converters.report")
    modules = [*folder.iterdir(), *resources.files("converters.kit").iterdir()]
    sources = [file.read_text(encoding="utf-8") for file in modules if file.name.endswith(".py")]
    templates = list((folder / "templates").iterdir())
    sources += [template.read_text(encoding="utf-8") for template in templates]
    assert len(templates) > 15
    for template in templates:
        assert any(f'"{template.name}"' in source for source in sources), template.name
