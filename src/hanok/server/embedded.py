"""`hk.open()` of a home in this process: while something long is done, other processes can read the home."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from hanok.sdk import client
from hanok.sdk.client import Client

if TYPE_CHECKING:
    from hanok.engine.app import App


def open(
    where: str | Path | None = None, *, secret: str = "", project: str | Path | None = None, apply: bool = True
) -> Client:
    """A client for a directory with a project (the present one by default), a home, or a server's URL.

    A home that a running `hanok up` owns is reached through that server. `secret` is a token, or `HANOK_TOKEN`.
    The project is applied when a home is opened, unless `apply` is False: `call("apply")` then says what changes.
    """
    found = client.open(where, secret=secret, project=project, apply=apply)
    found.answering = _answering
    return found


def _answering(app: App) -> AbstractContextManager[None]:
    from hanok.server.beside import answering_others

    return answering_others(app)
