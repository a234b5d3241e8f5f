"""The login page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Login:
    """`next` is where the browser goes afterwards; `refused` says why the last attempt failed."""

    now: datetime
    user: str
    next: str
    refused: str
