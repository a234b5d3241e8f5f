"""Results of verbs as they look in a notebook. They stay the lists and dicts that they are."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

ROWS_SHOWN = 50
TEXT_SHOWN = 120


class Rows(list[Any]):
    """A list of objects, shown as a table."""

    def _repr_html_(self) -> str:
        columns = list(dict.fromkeys(name for row in self if isinstance(row, Mapping) for name in row))
        if not columns:
            return f"<pre>{html.escape(repr(list(self)))}</pre>"
        head = "".join(f"<th>{html.escape(str(c))}</th>" for c in columns)
        body = "".join(f"<tr>{''.join(_cell(row.get(c)) for c in columns)}</tr>" for row in self[:ROWS_SHOWN])
        more = f"<p>{len(self) - ROWS_SHOWN} more rows</p>" if len(self) > ROWS_SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


class Facts(dict[str, Any]):
    """One object, shown as names and values; a list of objects in it as a table of its own."""

    def _repr_html_(self) -> str:
        lines = []
        for name, value in self.items():
            nested = isinstance(value, list) and value and isinstance(value[0], Mapping)
            shown = f"<td>{Rows(value)._repr_html_()}</td>" if nested else _cell(value)
            lines.append(
                f"<tr><th style='text-align:left;vertical-align:top'>{html.escape(str(name))}</th>{shown}</tr>"
            )
        return f"<table><tbody>{''.join(lines)}</tbody></table>"


def shown(result: Any) -> Any:
    """A verb's JSON, as it looks in a notebook."""
    if isinstance(result, list):
        return Rows(result)
    return Facts(result) if isinstance(result, Mapping) else result


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    cut = text if len(text) <= TEXT_SHOWN else text[: TEXT_SHOWN - 1] + "\u2026"
    return f"<td>{html.escape(cut)}</td>"
