"""Drift that is known to be benign: seasons that were tried and did no harm, and what a person marked so.

A shape is the distribution of a feature in one week, kept in bins of its own, so that it outlives the version that
answered then. A later week has that shape when it lies no farther from it than weeks of training lie from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from hanok.compute.drift import Reference, bin_counts, compare, reference
from hanok.core.clock import Clock
from hanok.core.ids import new_id
from hanok.core.json import JsonObject
from hanok.core.lineage import Edge, EdgeKind, Node, NodeKind
from hanok.core.monitoring import BENIGN, BenignShape
from hanok.core.records import to_body
from hanok.stores.ports import Metadata, Repositories

TRIAL = "trial"
SHAPES_MAX = 24  # for each feature: two years of seasons, a month apart
ALIKE = 0.1


class Benign:
    """The benign shapes of each model's features."""

    def __init__(self, *, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def shapes(self, model: str) -> dict[str, list[BenignShape]]:
        """By feature, the newest first; what persons marked before what trials showed."""
        found = BENIGN.all(self._metadata.read(lambda r: r.records.list(BENIGN.name, model)))
        by_feature: dict[str, list[BenignShape]] = {}
        for shape in sorted(found, key=lambda b: (b.by != TRIAL, b.day), reverse=True):
            if not shape.forgotten:
                by_feature.setdefault(shape.feature, []).append(shape)
        return by_feature

    def learn(self, model: str, whole: Reference, column: pa.ChunkedArray, day: str) -> None:
        """A trial showed that the drift of this week does no harm. Kept once for each shape; beyond 24 the oldest that
        no person marked makes room."""
        mine = self.shapes(model).get(whole.column, [])
        if alike(mine, column):
            return
        why = f"with its old values the loss of the week to {day} was no lower"
        new = BenignShape(whole.column, day, TRIAL, why, _shape(whole, column))
        learned = [b for b in mine if b.by == TRIAL]
        kept = [new]
        if len(mine) >= SHAPES_MAX and learned:
            kept.append(replace(learned[-1], forgotten=True))
        now = self._clock.now()

        def work(repositories: Repositories) -> None:
            for shape in kept:
                repositories.records.put(BENIGN.name, model, shape.key, BENIGN.body(shape), now)

        self._metadata.write(work)

    def mark(
        self, model: str, whole: Reference, column: pa.ChunkedArray, day: str, *, why: str, actor: str, alert: str
    ) -> BenignShape:
        """A person says that the drift of this week is benign; a decision that leads to its alert."""
        now = self._clock.now()
        node = Node(
            new_id(now),
            NodeKind.DECISION,
            f"benign: {whole.column} of {model}",
            now,
            {"model": model, "feature": whole.column, "day": day, "why": why, "actor": actor},
        )
        marked = BenignShape(whole.column, day, actor, why, _shape(whole, column), node.id)

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node], [Edge(node.id, EdgeKind.TRIGGERED_BY, alert)])
            repositories.records.put(BENIGN.name, model, marked.key, BENIGN.body(marked), now)

        self._metadata.write(work)
        return marked


def alike(shapes: Sequence[BenignShape], column: pa.ChunkedArray) -> BenignShape | None:
    """The first benign shape that the column has."""
    for known in shapes:
        bins = Reference.from_dict(known.shape)
        if compare(bins, bin_counts(bins, column)).effect <= ALIKE:
            return known
    return None


def said(shape: BenignShape) -> str:
    """In words, which benign week it looks like."""
    if shape.by == TRIAL:
        return f"as in the week to {shape.day}, which did no harm"
    return f"as in the week to {shape.day}, which {shape.by} marked as benign: {shape.why}"


def _shape(whole: Reference, column: pa.ChunkedArray) -> JsonObject:
    return to_body(replace(reference(whole.column, column), usual_psi=whole.usual_psi))
