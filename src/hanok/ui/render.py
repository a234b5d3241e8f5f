"""Views to HTML: the templates, and the static files under names that carry a hash of their content."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from hanok.core.access import ANONYMOUS, LOCAL, SYSTEM, caller
from hanok.ui import plots, svg, text
from hanok.ui.graph import draw
from hanok.ui.parallel import parallel_plot
from hanok.ui.views.common import href
from hanok.ui.views.direction import higher_is_better

TYPES = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml", "js": "text/javascript; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A static file; `name` holds the hash of its content, so that it may be kept for ever."""

    name: str
    media_type: str
    content: bytes
    zipped: bytes


@cache
def assets() -> Mapping[str, Asset]:
    """All static files by their plain names."""
    found = {}
    for item in files("hanok.ui").joinpath("static").iterdir():
        stem, _, suffix = item.name.rpartition(".")
        if suffix in TYPES:
            content = item.read_bytes()
            name = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
            found[item.name] = Asset(name, TYPES[suffix], content, gzip.compress(content, 9, mtime=0))
    return found


def static_url(name: str) -> str:
    return f"/static/{assets()[name].name}"


@cache
def environment() -> Environment:
    """Jinja with autoescape for everything: names and values come from outside."""
    made = Environment(
        loader=PackageLoader("hanok.ui", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # letters are shown as letters
    made.globals |= {
        "svg": svg,
        "plots": plots,
        "static_url": static_url,
        "href": href,
        "draw": draw,
        "parallel": parallel_plot,
    }
    made.globals |= {"dash": text.NONE, "better": higher_is_better}
    made.filters |= {
        "number": text.number,
        "plain": text.plain,
        "param": text.param,
        "percent": text.percent,
        "signed": text.signed,
        "span": text.span,
        "short": text.short,
        "bytes": text.size,
        "urlpath": text.url_path,
        "seg": text.segment,
        "cut": text.cut,
    }
    return made


def render(template: str, view: Any, *, now: datetime, path: str) -> str:
    """The page as HTML. `now` is the instant that distances in time are given to; `path` is the page's own URL. The
    caller's name stands on it where there is a login."""
    when, since = partial(text.when, now=now), partial(text.since, now=now)
    actor = caller()
    user = "" if actor in (LOCAL, SYSTEM, ANONYMOUS) else actor.name
    return environment().get_template(template).render(v=view, when=when, since=since, path=path, user=user)
