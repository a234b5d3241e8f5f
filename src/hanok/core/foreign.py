"""Models that run code of their own, and who allowed them to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from hanok.core.records import IF_SET, Kind


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word that the files of one content hash may run, in a process of their own. `python` is the
    interpreter that has their libraries; "": that of the server. `revoked` is who took it back: then they run no more.
    The record's name is the hash."""

    model: str
    version: int
    actor: str
    at: datetime
    python: str = ""
    revoked: str = field(default="", metadata=IF_SET)
    revoked_at: datetime | None = field(default=None, metadata=IF_SET)


APPROVAL = Kind("approved-model", Approval, owner="home")
