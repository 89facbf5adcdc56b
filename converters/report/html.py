"""HTML that escapes by construction: a string is text, and only what `tag` made is markup."""

from __future__ import annotations

import html as _html
import json
from collections.abc import Iterable
from typing import Any, TypeAlias

_VOID = {"img", "meta", "br"}


class Html(str):
    """Markup that is safe as it is; made by this package alone, never from what a file or a user says."""

    __slots__ = ()


Content: TypeAlias = "Html | str | int | Iterable[Content] | None"


def markup(content: Content) -> Html:
    """Content as markup: text is escaped, None is nothing, several are joined."""
    if isinstance(content, Html):
        return content
    if content is None:
        return Html("")
    if isinstance(content, (str, int)):
        return Html(_html.escape(str(content), quote=True))
    return Html("".join(markup(part) for part in content))


def tag(name: str, /, *content: Content, **attributes: str | int | None) -> Html:
    """One element.

    Args:
        name: Such as ``p``.
        content: What it holds.
        attributes: ``class_`` stands for ``class``, other underscores for hyphens; None leaves one out.
    """
    parts = [
        f' {key.rstrip("_").replace("_", "-")}="{_html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    start = f"<{name}{''.join(parts)}>"
    return Html(start if name in _VOID else f"{start}{markup(content)}</{name}>")


def table(
    head: Iterable[Content],
    rows: Iterable[Iterable[Content]],
    *,
    caption: Content = None,
    compact: bool = False,
) -> Html:
    """A table whose first column names the row; on a phone each row becomes a card.

    Args:
        head: One heading per column, plain text: a card repeats it before the value.
        rows: The cells; the last of a short row reaches over the columns that are left.
        caption: What it is and what it stands on.
        compact: Narrow enough to stay a table on a phone.
    """
    titles = [markup(title) for title in head]
    body = []
    for row in rows:
        cells = list(row)
        first = tag("th", cells[0], scope="row")
        short = len(titles) - len(cells)
        others = [
            tag("td", tag("span", title, class_="label", aria_hidden="true"), tag("span", cell))
            for title, cell in zip(titles[1:], cells[1 : -1 if short else None], strict=False)
        ]
        if short:
            others.append(tag("td", cells[-1], colspan=1 + short, class_="whole"))
        body.append(tag("tr", first, others))
    return tag(
        "table",
        tag("caption", caption) if caption is not None else None,
        tag("thead", tag("tr", [tag("th", title, scope="col") for title in titles])),
        tag("tbody", body),
        class_="compact" if compact else "cards",
    )


def embedded_json(value: Any, *, identifier: str) -> Html:
    """A data block that a program can read out of the page; nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(f'<script type="application/json" id="{_html.escape(identifier)}">{text}</script>')
