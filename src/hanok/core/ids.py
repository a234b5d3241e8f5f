"""Identifiers: UUIDv7 for nodes, and prediction ids that lead to their record by themselves."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from datetime import datetime

from hanok.core.clock import micros
from hanok.core.errors import Invalid


def new_id(now: datetime) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) as 32 hex digits: 48 bits of milliseconds, then 74 random bits."""
    millis = micros(now) // 1000
    random = int.from_bytes(os.urandom(10), "big")
    value = (millis & (1 << 48) - 1) << 80
    value |= 0x7 << 76 | (random >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | random & (1 << 62) - 1
    return f"{value:032x}"


_PREDICTION = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)~([0-9a-f]{12})(?:-([0-9a-f]{4}))?-([0-9a-f]{6})-([0-9a-f]{8})")


@dataclass(frozen=True, slots=True, order=True)
class PredictionId:
    """Names deployment, process (its start in ms, which no other process of a home shares), worker, segment and
    sequence: enough to find the record without an index.

    Text form `deployment~start-worker-segment-sequence` in fixed-width hex, so that text order is order of writing.
    Ids of earlier versions have no worker (-1) and are written as they were.
    """

    deployment: str
    start_ms: int
    segment: int
    sequence: int
    worker: int = -1

    def __str__(self) -> str:
        return f"{self.deployment}~{self.file}-{self.sequence:08x}"

    def in_deployment(self, deployment: str) -> PredictionId:
        """The same place in the log of another deployment."""
        return replace(self, deployment=deployment)

    @property
    def file(self) -> str:
        """What names the segment within its deployment."""
        worker = "" if self.worker < 0 else f"-{self.worker:04x}"
        return f"{self.start_ms:012x}{worker}-{self.segment:06x}"

    @classmethod
    def parse(cls, text: str) -> PredictionId:
        """Raises Invalid for anything that is not a prediction id."""
        match = _PREDICTION.fullmatch(text)
        if match is None:
            raise Invalid(
                f"{text[:80]!r} is not a prediction id; one looks like churn~0193a5c0f3e2-0000-000000-0000002a "
                "and stands in each prediction reply as prediction_id"
            )
        deployment, start, worker, segment, sequence = match.groups()
        return cls(deployment, int(start, 16), int(segment, 16), int(sequence, 16), int(worker, 16) if worker else -1)


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def checked_name(kind: str, name: str) -> str:
    """`name` itself if it can be a name in URLs and on disk; Invalid otherwise."""
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise Invalid(
            f"{kind} name {str(name)[:80]!r} is not usable: "
            "letters, digits, '_', '.', '-' (128 at most, starting with a letter or digit)"
        )
    return name
