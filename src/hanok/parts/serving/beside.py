"""Rows that were answered, and what the arms beside give for them: everything that another process needs to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hanok.compute.frames import Columns
from hanok.core.errors import HanokError, Unavailable
from hanok.core.serving import Arm
from hanok.parts.serving.entries import encode
from hanok.parts.serving.packages import Loaded, Packages
from hanok.parts.serving.records import entries_of
from hanok.parts.serving.scorer import Decision, decide_many, rows_of


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows that were answered and that the arms beside score too. `row_ids` are the ids of the answers, `by_version`
    columns of versions that have their own."""

    arms: tuple[Arm, ...]
    columns: Columns
    by_version: Mapping[int, Columns]
    keys: Mapping[str, str]
    at: int
    row_ids: Sequence[str]

    def columns_of(self, arm: Arm) -> Columns:
        return self.by_version.get(arm.version, self.columns)


@dataclass(frozen=True, slots=True)
class Bulk:
    """Answers of one deployment for the same arms. `packages` are the digests of the versions' packages; `broken` says
    of a version that cannot be loaded why not."""

    name: str
    arms: tuple[Arm, ...]
    packages: Mapping[int, str]
    broken: Mapping[int, str]
    answers: tuple[Answered, ...]

    @property
    def count(self) -> int:
        return sum(len(a.row_ids) for a in self.answers)

    def of(self, arms: Sequence[Arm]) -> Bulk:
        return replace(self, arms=tuple(arms))


def score_beside(packages: Packages, bulk: Bulk) -> list[bytes]:
    """The encoded entries of the log for each arm and row. An arm that fails is in them with its error."""
    payloads: list[bytes] = []
    for arm in bulk.arms:
        columns = [answered.columns_of(arm) for answered in bulk.answers]
        payloads += _encoded(bulk, arm, _decisions(packages, bulk, arm, columns))
    return payloads


def lost(bulk: Bulk, why: str) -> list[bytes]:
    """The entries of rows that the arms were asked for and did not score."""
    payloads: list[bytes] = []
    for arm in bulk.arms:
        error = Unavailable(why)
        decisions = [Decision(arm, rows_of(a.columns_of(arm)), None, None, error, 0) for a in bulk.answers]
        payloads += _encoded(bulk, arm, decisions)
    return payloads


def _decisions(packages: Packages, bulk: Bulk, arm: Arm, columns: Sequence[Columns]) -> list[Decision]:
    try:
        loaded = _loaded(packages, bulk, arm.version)
    except HanokError as error:
        return [Decision(arm, rows_of(c), None, None, error, 0) for c in columns]
    return decide_many(loaded, arm, columns)


def _loaded(packages: Packages, bulk: Bulk, version: int) -> Loaded:
    if version in bulk.broken:
        raise Unavailable(f"version {version} of {bulk.name!r} cannot answer: {bulk.broken[version]}")
    return packages.load(bulk.packages[version])


def _encoded(bulk: Bulk, arm: Arm, decisions: Sequence[Decision]) -> list[bytes]:
    payloads: list[bytes] = []
    for answered, decision in zip(bulk.answers, decisions, strict=True):
        columns = answered.columns_of(arm)
        entries = entries_of(
            decision, columns, at=answered.at, mode="shadow", keys=answered.keys, row_ids=answered.row_ids
        )
        payloads += map(encode, entries)
    return payloads
