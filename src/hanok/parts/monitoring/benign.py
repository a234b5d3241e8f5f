"""Drift that is known to be benign: seasons that were tried and did no harm, and what a person marked so.

A shape is the distribution of a feature in one week, kept in bins of its own, so that it outlives the version that
answered then. A later week has that shape when it lies no farther from it than weeks of training lie from all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from hanok.compute.drift import Reference, bin_counts, compare, reference
from hanok.core.clock import Clock
from hanok.core.ids import new_id
from hanok.core.lineage import Edge, EdgeKind, Node, NodeKind
from hanok.stores.ports import Metadata, Repositories

TRIAL = "trial"
SHAPES_MAX = 24  # for each feature: two years of seasons, a month apart
ALIKE = 0.1


class Benign:
    """The benign shapes of each model's features."""

    def __init__(self, *, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def shapes(self, model: str) -> dict[str, list[Mapping[str, Any]]]:
        """By feature, the newest first; what persons marked before what trials showed."""
        found = self._metadata.read(lambda r: r.records.list("benign", model))
        ordered = sorted(found, key=lambda b: (b["by"] != TRIAL, b["day"]), reverse=True)
        by_feature: dict[str, list[Mapping[str, Any]]] = {}
        for body in ordered:
            if not body.get("forgotten"):
                by_feature.setdefault(body["feature"], []).append(body)
        return by_feature

    def learn(self, model: str, whole: Reference, column: pa.ChunkedArray, day: str) -> None:
        """A trial showed that the drift of this week does no harm. Kept once for each shape; beyond 24 the oldest that
        no person marked makes room."""
        mine = self.shapes(model).get(whole.column, [])
        if alike(mine, column):
            return
        body = {
            "feature": whole.column,
            "day": day,
            "by": TRIAL,
            "why": f"with its old values the loss of the week to {day} was no lower",
            "shape": _shape(whole, column),
        }
        learned = [b for b in mine if b["by"] == TRIAL]
        oldest = learned[-1] if len(mine) >= SHAPES_MAX and learned else None
        now = self._clock.now()

        def work(repositories: Repositories) -> None:
            repositories.records.put("benign", model, f"{whole.column}|{day}|{TRIAL}", body, now)
            if oldest is not None:
                key = f"{oldest['feature']}|{oldest['day']}|{TRIAL}"
                repositories.records.put("benign", model, key, {**_public(oldest), "forgotten": True}, now)

        self._metadata.write(work)

    def mark(
        self, model: str, whole: Reference, column: pa.ChunkedArray, day: str, *, why: str, actor: str, alert: str
    ) -> Mapping[str, Any]:
        """A person says that the drift of this week is benign; a decision that leads to its alert."""
        now = self._clock.now()
        node = Node(
            new_id(now),
            NodeKind.DECISION,
            f"benign: {whole.column} of {model}",
            now,
            {"model": model, "feature": whole.column, "day": day, "why": why, "actor": actor},
        )
        body = {
            "feature": whole.column,
            "day": day,
            "by": actor,
            "why": why,
            "shape": _shape(whole, column),
            "node": node.id,
        }

        def work(repositories: Repositories) -> None:
            repositories.lineage.add([node], [Edge(node.id, EdgeKind.TRIGGERED_BY, alert)])
            repositories.records.put("benign", model, f"{whole.column}|{day}|{actor}", body, now)

        self._metadata.write(work)
        return {k: v for k, v in body.items() if k != "shape"}


def alike(shapes: list[Mapping[str, Any]], column: pa.ChunkedArray) -> Mapping[str, Any] | None:
    """The first benign shape that the column has."""
    for body in shapes:
        shape = Reference.from_dict(body["shape"])
        if compare(shape, bin_counts(shape, column)).effect <= ALIKE:
            return body
    return None


def said(body: Mapping[str, Any]) -> str:
    """In words, which benign week it looks like."""
    if body["by"] == TRIAL:
        return f"as in the week to {body['day']}, which did no harm"
    return f"as in the week to {body['day']}, which {body['by']} marked as benign: {body['why']}"


def _shape(whole: Reference, column: pa.ChunkedArray) -> dict[str, Any]:
    return replace(reference(whole.column, column), usual_psi=whole.usual_psi).as_dict()


def _public(body: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in body.items() if not k.startswith("_")}
