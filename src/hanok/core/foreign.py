"""Models that run code of their own, and who allowed them to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hanok.core.records import Kind


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's word that the files of one content hash may run, in a process of their own. `python` is the
    interpreter that has their libraries; "": that of the server. The record's name is the hash."""

    model: str
    version: int
    actor: str
    at: datetime
    python: str = ""


APPROVAL = Kind("approved-model", Approval, owner="home")
