"""HTML from the Jinja2 templates in ``templates/``; values are escaped, except HTML made by a template or figure.

Another package renders templates of its own with the same filters and macros by naming itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from converters import number_format
from converters.evaluate.metrics.evidence import Unsupported
from converters.report import evidence_text
from edge_sdk.escaping import escaped

_FILTERS = (
    number_format.cosine,
    number_format.count,
    number_format.decibels,
    number_format.file_size,
    number_format.fmr,
    number_format.measured_rate,
    number_format.odds,
    number_format.percent,
    number_format.probability,
    number_format.rate,
    number_format.ratio,
    number_format.signed,
    evidence_text.claimed_rate,
    evidence_text.interval,
    evidence_text.needed,
    evidence_text.rate_interval,
    evidence_text.sentence,
    evidence_text.trials,
)


@dataclass(frozen=True)
class PageSection:
    """One section of a page.

    Args:
        anchor: Id of its heading, unique on the page.
        name: Short name for the navigation.
        content: HTML of the section.
    """

    anchor: str
    name: str
    content: Markup


def render(template: str, *, package: str = "converters.report", **values: Any) -> Markup:
    """Render a template with values; an undefined name raises ``jinja2.UndefinedError``.

    Args:
        template: File name of the template.
        package: Package with a folder ``templates``; its templates may import those of this package.
        values: Values of the names in the template.
    """
    return Markup(_environment(package).get_template(template).render(values))


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("converters.report")]),
        autoescape=True,
        finalize=_readable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({function.__name__: function for function in _FILTERS})
    environment.tests["unsupported"] = lambda value: isinstance(value, Unsupported)
    # The template filter `tojson` also escapes <, > and &, so that no value can end the element.
    environment.policies["json.dumps_kwargs"] = {
        "sort_keys": True,
        "ensure_ascii": False,
        "allow_nan": False,
    }
    return environment


def _readable(value: Any) -> Any:
    """Escape invisible characters of a text, and marks that would reorder the text of the page around a file name."""
    return escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value
