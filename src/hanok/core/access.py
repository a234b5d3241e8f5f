"""Who may do what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Access(IntEnum):
    """What a route asks of its caller; each level includes those below it."""

    PUBLIC = 0
    READ = 1
    USE = 2
    EDIT = 3
    OWN = 4


@dataclass(frozen=True, slots=True)
class Actor:
    """The authenticated caller. `name` is what histories and audit records keep."""

    name: str
    access: Access


LOCAL = Actor("local", Access.OWN)
