"""What commands share: options, the client, and results as text or JSON."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hanok.core.errors import HanokError

Command = Callable[..., Any]


def common(command: Command) -> Command:
    """--home and --json, on every command."""

    @click.option(
        "--home", type=click.Path(path_type=Path), help="The home (default: hanok.toml, HANOK_HOME, ./.hanok)."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return command(*args, **kwargs)

    return wrapped


def ask(home: Path | None, verb: str, /, **arguments: Any) -> Any:
    """Call a verb of the home, in this process or through the server that owns it."""
    from hanok.sdk.client import open as open_client

    with _somewhere_to_read(home, verb) as where, open_client(where) as client:
        return client.call(verb, **arguments)


@contextmanager
def _somewhere_to_read(home: Path | None, verb: str) -> Iterator[Path | None]:
    """The home that is meant; where there is none yet, a question is asked of an empty one that is gone afterwards: to
    look makes nothing."""
    from tempfile import TemporaryDirectory

    from hanok.core.access import Access
    from hanok.engine.verbs.registry import VERBS, load_all

    place = missing_home(home)
    load_all()
    if place is None or verb not in VERBS or VERBS[verb].access is not Access.READ:
        yield home
        return
    say(f"there is no home at {place} yet. To begin one: hanok init --from FILE --target COLUMN, or hanok ingest")
    with TemporaryDirectory(prefix="hanok-nothing-") as folder:
        yield Path(folder)


def missing_home(home: Path | None) -> Path | None:
    """Where a home would begin that is not there yet; None where one is, or a server is asked."""
    import os

    from hanok.engine.config import load_config

    if os.environ.get("HANOK_URL") and home is None:
        return None
    config = load_config(Path.cwd())
    place = home or config.home
    return None if place.exists() or config.metadata_url else place


def versioned(text: str) -> tuple[str, int]:
    """NAME@VERSION as both; 0 where no version is named. Raises UsageError."""
    name, at, number = text.rpartition("@")
    if not at:
        return text, 0
    if not (name and number.isascii() and number.isdecimal() and 0 < int(number[:10]) == int(number)):
        raise click.UsageError(f"{text!r} is not NAME@VERSION, like churn@3")
    return name, int(number)


def show(result: Any, as_json: bool, *, columns: Sequence[str] = ()) -> None:
    """Print a result: JSON, a table for rows, or `name  value` lines for an object."""
    if as_json:
        click.echo(json.dumps(result, default=str))
    elif isinstance(result, list):
        _table(result, columns or (list(result[0]) if result else []))
    elif isinstance(result, Mapping):
        for name, value in result.items():
            if isinstance(value, list) and value and isinstance(value[0], Mapping):
                click.echo(f"{name}:")
                _table(value, list(value[0]))
            else:
                click.echo(f"{name:<18} {_text(value)}")
    else:
        click.echo(_text(result))


def show_error(error: HanokError, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(error.as_dict(), default=str))
    click.echo(f"hanok: {error.message}", err=True)


def say(text: str) -> None:
    """Talk goes to stderr, so that stdout is data."""
    click.echo(text, err=True)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    if not rows:
        say("nothing yet")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(c)) for c in columns))
    width = None if sys.stdout.isatty() else 200
    Console(width=width, highlight=False).print(table)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e6 else f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={_text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(v) for v in value)
    return str(value)
