"""Looking for answers: the prediction log, the frames that are not in its table yet, and the labels that came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hanok.compute.duck import arrow, connect, quoted
from hanok.core.clock import from_micros
from hanok.core.errors import BadKey, HanokError, Invalid
from hanok.core.keys import KeyValue
from hanok.core.logged import TABLE, key_of
from hanok.core.predictions import Found, Looked, Outcome
from hanok.core.tables import SEQUENCE
from hanok.parts.access import GuardedTables
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.serving.log import Entry, PredictionLog
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.service import Serving
from hanok.parts.tracking.service import Tracking

FRESH_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Predictions:
    """Made of an App by `parts.find`."""

    serving: Serving
    tables: GuardedTables
    monitoring: Monitoring
    log: PredictionLog

    def search(self, model: str, looked: Looked) -> list[Found]:
        """The newest first. Raises ModelNotFound, BadKey, Invalid for an outcome that the model has not."""
        task = self.serving.signature(model).task
        if looked.outcome in ("right", "wrong") and task == "regression":
            raise Invalid(f"{model} gives numbers, which are not right or wrong: ask for labelled or unlabelled")
        keys = self._spelled(model, looked.keys)
        known = self.monitoring.outcomes(model, start=looked.since)
        labels = known.select(["prediction_id", "label"]) if known.num_rows else _NO_LABELS
        fresh = [] if looked.batch else self._fresh(model, looked, keys, task, labels)
        found = [f for f in fresh if _fits(f, looked.outcome)][: looked.limit]
        if self.tables.size(TABLE + model):  # a bulk answer may be in it before an older one of the log
            told = {f.id for f in found}  # some may have come into the table meanwhile
            kept = self._kept(model, looked, keys, task, labels, looked.limit)
            found += [f for f in kept if f.id not in told]
            found = sorted(found, key=lambda f: f.at, reverse=True)[: looked.limit]
        return found

    def _spelled(self, model: str, keys: Mapping[str, KeyValue]) -> Mapping[str, str]:
        return self.serving.keys.spelled(model, keys) if keys else {}

    def _fresh(self, model: str, looked: Looked, keys: Mapping[str, str], task: str, labels: pa.Table) -> list[Found]:
        """What lies in open segments."""
        known = dict(zip(labels.column(0).to_pylist(), labels.column(1).to_pylist(), strict=True))
        found = []
        for prediction, e in self.log.recent(model, limit=FRESH_MAX):
            at, entity, label = from_micros(e.at), _entity(e), known.get(prediction)
            if (
                (e.arm != "shadow" or looked.shadows)
                and looked.version in (0, e.version)
                and (looked.since is None or at >= looked.since)
                and (looked.until is None or at < looked.until)
                and all(entity.get(k) == v for k, v in keys.items())
            ):
                right = _right(task, e.score, e.scores, label)
                found.append(
                    Found(
                        prediction,
                        at,
                        e.version,
                        e.arm,
                        e.score,
                        entity,
                        "",
                        e.error,
                        label,
                        right,
                        tuple(e.scores or ()),
                    )
                )
        return found

    def _kept(
        self, model: str, looked: Looked, keys: Mapping[str, str], task: str, labels: pa.Table, limit: int
    ) -> list[Found]:
        scan = self.tables.scan(TABLE + model, since=looked.since)
        columns = {key: name for name in scan.schema.names if (key := key_of(name)) is not None}
        if missing := [k for k in keys if k not in columns]:
            raise BadKey(f"no answer of {model} has the key {missing[0]!r}")
        tests, values = _tests(looked, {columns[k]: v for k, v in keys.items()})
        names = "".join(f", l.{quoted(c)}" for c in columns.values())
        tests.append(f"({_OUTCOME[looked.outcome].format(right=_RIGHT[task])})")
        with connect({"log": scan, "known": labels}) as duck:
            rows = arrow(
                duck,
                'SELECT l.prediction_id, l."at", l.version, l.arm, l.score, l.scores, l.batch, l.error, k.label'
                f"{names} FROM log l LEFT JOIN known k ON k.prediction_id = l.prediction_id "
                f"WHERE {' AND '.join(tests)} ORDER BY l.at DESC, l.{SEQUENCE} DESC LIMIT {int(limit)}",
                values,
            )
        return [
            Found(
                r["prediction_id"],
                r["at"],
                r["version"],
                r["arm"],
                r["score"],
                {k: r[c] for k, c in columns.items() if r[c] is not None},
                r["batch"] or "",
                r["error"] or "",
                r["label"],
                _right(task, r["score"], r["scores"] or (), r["label"]),
                tuple(r["scores"] or ()),
            )
            for r in rows.to_pylist()
        ]


def named_classes(
    packages: Packages, tracking: Tracking, model: str, answers: Sequence[Found]
) -> list[tuple[str | None, str | None]]:
    """The class that each answer named and the one that it was, where there are more than two."""
    classes: dict[int, Sequence[str]] = {}
    for version in {f.version for f in answers if len(f.scores) > 2}:
        with suppress(HanokError):  # it was deleted since
            package = tracking.registry.version(model, version).package
            signature = packages.manifest(package).get("signature", {}) if package else {}
            classes[version] = [str(c) for c in signature.get("classes", [])]
    named: list[tuple[str | None, str | None]] = []
    for f in answers:
        names = classes.get(f.version, ())
        if not 2 < len(f.scores) == len(names):
            named.append((None, None))
            continue
        label = None if f.label is None or not 0 <= f.label < len(names) else names[int(f.label)]
        named.append((names[int(np.argmax(f.scores))], label))
    return named


_RIGHT = {
    "multiclass": "list_position(l.scores, list_max(l.scores)) - 1 = k.label",
    "binary": "CAST(l.score >= 0.5 AS INTEGER) = k.label",
    "regression": "NULL",
}
_OUTCOME: Mapping[Outcome, str] = {
    "": "true",
    "labelled": "k.label IS NOT NULL",
    "unlabelled": "k.label IS NULL AND coalesce(l.error, '') = ''",
    "right": "{right}",
    "wrong": "NOT ({right})",
    "failed": "coalesce(l.error, '') <> ''",
}
_NO_LABELS = pa.table({"prediction_id": pa.array([], pa.string()), "label": pa.array([], pa.float64())})


def _tests(looked: Looked, keys: Mapping[str, str]) -> tuple[list[str], list[object]]:
    tests: list[str] = ["true"] if looked.shadows else ["l.arm <> 'shadow'"]
    values: list[object] = []
    for test, value in (
        ("l.version = ?", looked.version or None),
        ('l."at" >= ?', looked.since),
        ('l."at" < ?', looked.until),
        *((f"l.{quoted(column)} = ?", text) for column, text in keys.items()),
    ):
        if value is not None:
            tests.append(test)
            values.append(value)
    if looked.batch:
        tests.append("(l.batch = ? OR starts_with(l.batch, ?))")
        values += [looked.batch, f"file {looked.batch}"]
    return tests, values


def _entity(entry: Entry) -> dict[str, str]:
    return {k: str(v) for k, v in entry.entity.items() if v is not None}


def _right(task: str, score: float | None, scores: Sequence[float], label: float | None) -> bool | None:
    """Whether the answer names the class that it was; None where that is not known, or no class is named."""
    if label is None or score is None or task == "regression":
        return None
    named = int(np.argmax(scores)) if task == "multiclass" else int(score >= 0.5)
    return named == label


def _fits(found: Found, outcome: Outcome) -> bool:
    return {
        "": True,
        "labelled": found.label is not None,
        "unlabelled": found.label is None and not found.error,
        "right": found.right is True,
        "wrong": found.right is False,
        "failed": bool(found.error),
    }[outcome]
