"""Training-serving skew: the statistics of what is answered beside those of what a version was trained on.

Requests pay nothing: the prediction log is folded into states by day and version once enough of it has gathered, or
when somebody asks. The states are kept like those of tables, under the name of the log. A version is held against what
it and versions of the same inputs answered: what another asked for under the same name is another thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute import encoding
from hanok.compute.alarms import AlarmPolicy
from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.partitions import Part, parts
from hanok.compute.shift import Known, Span
from hanok.compute.states import TableState
from hanok.core.access import SYSTEM, acting
from hanok.core.clock import Clock
from hanok.core.declare import Model, view_columns
from hanok.core.errors import Invalid
from hanok.core.logged import FEATURE, TABLE, feature_columns, feature_of
from hanok.core.monitoring import SkewReport
from hanok.core.registry import ModelVersion
from hanok.core.tables import ARRIVED, SEQUENCE
from hanok.core.validation import STATE
from hanok.engine.alike import Alike
from hanok.engine.declared import Declared
from hanok.engine.references import References
from hanok.parts.monitoring.drift import POLICY
from hanok.parts.monitoring.skew import SkewWatch, skew_report, weeks_of
from hanok.parts.serving.service import Serving
from hanok.parts.training.service import Training
from hanok.parts.validation.service import Validation
from hanok.stores.ports import Blobs, Metadata, Tables

FOLD_ROWS = 8192
VERSION = "version"
SCORE = "__hanok_score"  # of the answers, among the features: one of those may be called score


class Skew:
    """Statistics of answers, beside those of training."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        tables: Tables,
        blobs: Blobs,
        validation: Validation,
        serving: Serving,
        training: Training,
        references: References,
        watch: SkewWatch,
        declared: Declared,
        alike: Alike,
        clock: Clock,
    ) -> None:
        self._metadata, self._tables, self._blobs, self._clock = metadata, tables, blobs, clock
        self._validation, self._serving, self._training = validation, serving, training
        self._references, self._watch, self._declared, self._alike = references, watch, declared, alike

    def fold(self, model: str, *, least: int = 1) -> int:
        """Add to the statistics of a model's answers what was logged since; returns the rows, 0 while there are fewer
        than `least`. Shadows and errors are no answers. What follows from the log is kept with all rights, whoever
        looks."""
        with acting(SYSTEM):
            return self._fold(model, least)

    def _fold(self, model: str, least: int) -> int:
        name = TABLE + model
        first, upto = max((kept.upto for _, kept in self._validation.kept.of(name)), default=0), self._tables.size(name)
        if upto - first < max(1, least):
            return 0
        scan = self._tables.scan(name, upto=upto)
        held = [n for n in scan.schema.names if feature_of(n) is not None]
        chosen = ", ".join(f"{quoted(n)} AS {quoted(f'c{i}')}" for i, n in enumerate([*held, "score", "at", VERSION]))
        with connect({"log": scan}) as duck:
            rows = arrow(
                duck,
                f"SELECT {chosen} FROM log WHERE {SEQUENCE} >= {int(first)} "
                f"AND arm <> 'shadow' AND coalesce(error, '') = '' ORDER BY {SEQUENCE}",
            )
        named = rows.rename_columns([*held, SCORE, ARRIVED, VERSION])  # to SQL, names that differ in case are one
        found = self._validation.kept.write(self._parts(model, named), sliced=[VERSION])
        body = STATE.body(replace(found, upto=upto))
        now = self._clock.now()
        self._metadata.write(lambda r: r.records.put(STATE.name, name, f"{first:012d}", body, now))
        return rows.num_rows

    def _parts(self, model: str, rows: pa.Table) -> list[Part]:
        """The states of all answers, and of those of each version in the columns that hold its inputs."""
        every = {n: feature for n in rows.column_names if n.startswith(FEATURE) and (feature := feature_of(n))}
        whole = parts(_columns(rows, every))
        made, numbers = list(whole), pc.unique(rows.column(VERSION)).to_pylist()
        texts = {n: pa.types.is_string(rows.schema.field(n).type) for n in rows.column_names}
        for number in numbers:
            wanted = {n: kind == "BYTES" for n, kind in self._alike.inputs(model, number).items()}
            mine = {c: n for n, c in feature_columns(texts, wanted).items()} if wanted else every
            known = len(numbers) == 1 and mine == every
            of_one = rows if len(numbers) == 1 else rows.filter(pc.equal(rows.column(VERSION), number))
            found = whole if known else parts(_columns(of_one, mine))
            made += [Part(p.partition, f"{VERSION}={number}", p.state) for p in found]
        return made

    def serving_state(self, model: str) -> TableState | None:
        """The statistics of the newest week of answers of the version that answers, and of those that are like it; None
        while nothing was answered."""
        deployment = self._serving.deployment(model)
        weeks = self._weeks(model, "", "", deployment.primary if deployment else None)
        return weeks[-1][2] if weeks else None

    def measure(self, model: str, *, since: str = "", until: str = "", policy: AlarmPolicy = POLICY) -> SkewReport:
        """Each feature of the newest week (or of a span), against the training set of the version that answers first.

        Raises Invalid while nothing was answered or nobody knows what the version was trained on.
        """
        deployment = self._serving.deployment(model)
        if deployment is None:
            raise Invalid(f"no version of {model!r} is deployed, so nothing is served that could be skewed")
        version = self._training.version(model, deployment.primary)
        weeks = self._weeks(model, since, until, version.version)
        if not weeks:
            raise Invalid(f"{model!r} has not answered anything yet: there are no statistics of what it serves")
        spans = [
            Span({n: Known(c) for n, c in state.columns.items()}, state.rows, first, last)
            for first, last, state in weeks
        ]
        return skew_report(model, version.version, self._trained(version), spans, policy)

    def watch(self, name: str, importance: Mapping[str, float]) -> SkewReport | None:
        """Measure the newest week, keep it for the model's page, and raise or resolve its alerts. None while nothing is
        known of training."""
        try:
            found = self.measure(name)
        except Invalid:  # registered from elsewhere: there is nothing to compare with
            if (deployment := self._serving.deployment(name)) is not None:
                self._watch.forget(name, deployment.primary)
            return None
        return self._watch.follow(
            found, importance, origins(self._declared.of(name, found.version) or self._training.model(name))
        )

    def _trained(self, version: ModelVersion) -> Span:
        """The state of the training set, beyond what was usual in it from week to week; versions of earlier releases
        kept the bins alone."""
        references = {r.column: r for r in self._references.of(version.facts.get("reference", ""))}
        if digest := version.facts.get("statistics"):
            with self._blobs.open(digest) as file:
                state = encoding.read(file.read())
            return Span({n: Known(c, references.get(n)) for n, c in state.columns.items()}, state.rows)
        if not references:
            raise Invalid("nothing is known of what this version was trained on: it was registered from elsewhere")
        return Span(references)

    def _weeks(self, model: str, since: str, until: str, version: int | None) -> list[tuple[str, str, TableState]]:
        """Up to three weeks, the newest last, or the one span that was named, of the versions that are like this one
        (of all where it is None)."""
        self.fold(model)
        by_part = self._by_part(model, since, until, version)
        if not by_part:
            return []
        if since or until:
            return [(min(by_part), max(by_part), TableState.merged(list(by_part.values())))]
        weeks = weeks_of([d for d in by_part if len(d) == len("2013-02-08")])
        if not weeks:
            return [(min(by_part), max(by_part), TableState.merged(list(by_part.values())))]
        return [(week[0], week[-1], TableState.merged([by_part[d] for d in week])) for week in weeks]

    def _by_part(self, model: str, since: str, until: str, version: int | None) -> dict[str, TableState]:
        """States by partition, in order. Batches that were folded before versions were told apart count as a whole."""
        name, kept = TABLE + model, self._validation.kept
        if not kept.of(name, limit=1):
            return {}
        if not (since or until):
            days = kept.days(name)
            since = min(min(w) for w in found) if (found := weeks_of(days)) else ""
        if version is None:
            return {p: s for p, s in kept.select(name, since=since, until=until).by_partition.items() if s.rows}
        values = {str(v) for v in self._alike.of(model, version)}
        return kept.of_values(name, VERSION, values, since=since, until=until)


def _columns(rows: pa.Table, held: Mapping[str, str]) -> pa.Table:
    """The columns of the log that hold features, under the features' names, with score and instant."""
    return rows.select([*held, SCORE, ARRIVED]).rename_columns([*held.values(), SCORE, ARRIVED])


def origins(model: Model) -> dict[str, str]:
    """The table that each feature comes from."""
    own = [*model.spine_columns, *(n for t in model.transforms for n in t.columns)]
    return dict.fromkeys(own, model.spine.table) | {
        n: view.source.table for view in model.views for n in view_columns(view)
    }
