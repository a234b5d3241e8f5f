"""Kinds of work that a server is asked for; each has room of its own, so that none can hold up another."""

from __future__ import annotations

from typing import Literal, TypeAlias

Work: TypeAlias = Literal["login", "urgent", "read", "heavy", "upload", "long", "away", "away_bulk"]
"""`login`: who somebody is. `urgent`: short, and must go on whatever others do: predictions, labels, a rollback, a
token that is revoked. `read`: pages, and what reads or changes a few rows. `heavy`: seconds of work for one answer,
like SQL, why, lineage, profiles. `upload`: waits for bytes of a client. `long`: minutes, and only for who may edit.
`away`: waits for a model in a process of its own, which may hang; `away_bulk`: the same for many rows."""
VerbWork: TypeAlias = Literal["urgent", "read", "heavy", "long"]
"""What a verb may be."""
