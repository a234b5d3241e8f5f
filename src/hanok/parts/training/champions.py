"""The champion's side of a gate: what it answers to the held-out rows, with the features of its own declaration."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hanok.compute.metrics import Floats
from hanok.core.declare import Model, as_dict, from_dict
from hanok.core.errors import HanokError, NotTrainable
from hanok.core.json import JsonObject
from hanok.core.registry import ModelVersion
from hanok.core.training import MadeSet, facts_of
from hanok.parts.training.needs import PackageStore, TrainingSets
from hanok.parts.training.splitting import Positions, labelled
from hanok.stores.ports import Metadata

log = logging.getLogger("hanok.training")


@dataclass(frozen=True, slots=True)
class Ground:
    """The held-out rows that both sides of a gate are judged on: rows `positions` of the labelled ones in `rows`."""

    model: Model
    made: MadeSet
    rows: pa.Table
    positions: Positions
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """Its scores; or why there are none, so that only the constant baseline is left to compare with."""

    scores: Floats | None
    why: str = ""


def answers(
    version: ModelVersion,
    package: str,
    ground: Ground,
    *,
    metadata: Metadata,
    sets: TrainingSets,
    packages: PackageStore,
) -> Answers:
    """What a version answers to the held-out rows. What stands in the way is said, and fails no training."""
    try:
        rows = _rows(version, ground, metadata, sets)
        loaded = packages.load(package)
        scores = in_classes(loaded.score_table(rows), loaded.signature.classes, ground.classes)
    except (HanokError, pa.ArrowException) as error:
        log.warning("version %s of %s cannot be judged: %s", version.version, version.model, error)
        return Answers(None, f"champion (version {version.version}) cannot be judged on these rows: {error}")
    return Answers(scores)


def in_classes(scores: Floats, have: Sequence[str], want: Sequence[str]) -> Floats:
    """Multiclass scores in the order of other classes; a class that the model does not know has probability 0."""
    if scores.ndim == 1 or tuple(have) == tuple(want):
        return scores
    place = {name: i for i, name in enumerate(have)}
    return np.column_stack([scores[:, place[c]] if c in place else np.zeros(len(scores)) for c in want])


def _rows(version: ModelVersion, ground: Ground, metadata: Metadata, sets: TrainingSets) -> pa.Table:
    """The held-out rows with the features that the version was trained with."""
    known = labelled(ground.rows)
    declared = _declaration(version, metadata)
    present = as_dict(ground.model)
    if declared is None or declared["features"] == present["features"]:
        return known.take(pa.array(ground.positions))
    if declared["task"] != present["task"]:
        raise NotTrainable(f"it was trained as {declared['task']}, and the model is {present['task']} now")
    asked = from_dict({**declared, "spine": present["spine"], "label": present["label"]})
    assert isinstance(asked, Model)
    return sets.same_rows(asked, ground.made, known, ground.positions)


def _declaration(version: ModelVersion, metadata: Metadata) -> JsonObject | None:
    """What the version was trained under; None for one that was registered from outside."""
    digest = facts_of(version).declaration
    if not digest:
        return None
    body = metadata.read(lambda r: r.lineage.node(digest[:32])).facts.get("declaration")
    if not isinstance(body, dict):
        raise NotTrainable("the declaration that it was trained under is not in the graph")
    return body
