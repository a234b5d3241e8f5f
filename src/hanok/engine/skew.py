"""Training-serving skew: the statistics of what is answered beside those of what a version was trained on.

Requests pay nothing: the prediction log is folded into states by day once enough of it has gathered, or when somebody
asks. The states are kept like those of tables, under the name of the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from hanok.compute.alarms import Policy, Verdict, judge
from hanok.compute.drift import Drift
from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.partitions import parts
from hanok.compute.state_drift import compare_states, compare_with
from hanok.compute.states import TableState
from hanok.core.clock import Clock
from hanok.core.errors import Invalid
from hanok.core.tables import SEQUENCE
from hanok.engine.references import References
from hanok.parts.serving.log import FEATURE, TABLE
from hanok.parts.serving.service import Serving
from hanok.parts.training.service import Training
from hanok.parts.validation.kept import EVERYTHING, KIND
from hanok.parts.validation.service import Validation
from hanok.stores.ports import Blobs, Metadata, Tables

FOLD_ROWS = 8192
WINDOW = timedelta(days=7)


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
        clock: Clock,
    ) -> None:
        self._metadata, self._tables, self._blobs, self._clock = metadata, tables, blobs, clock
        self._validation, self._serving, self._training = validation, serving, training
        self._references = references

    def fold(self, model: str, *, least: int = 1) -> int:
        """Add to the statistics of a model's answers what was logged since; returns the rows, 0 while there are fewer
        than `least`. Shadows and errors are no answers."""
        name = TABLE + model
        kept = self._metadata.read(lambda r: r.records.list(KIND, name, limit=EVERYTHING))
        first, upto = max((b["upto"] for b in kept), default=0), self._tables.size(name)
        if upto - first < max(1, least):
            return 0
        scan = self._tables.scan(name, upto=upto)
        columns = [n for n in scan.schema.names if n.startswith(FEATURE)]
        chosen = ", ".join(f"{quoted(n)} AS {quoted(n.removeprefix(FEATURE))}" for n in columns)
        with connect({"log": scan}) as duck:
            rows = arrow(
                duck,
                f'SELECT {chosen}{"," if chosen else ""} score, "at" FROM log WHERE {SEQUENCE} >= {int(first)} '
                f"AND arm <> 'shadow' AND coalesce(error, '') = '' ORDER BY {SEQUENCE}",
            )
        body = self._validation.kept.write(parts(rows, time="at")) | {"upto": upto}
        now = self._clock.now()
        self._metadata.write(lambda r: r.records.put(KIND, name, f"{first:012d}", body, now))
        return rows.num_rows

    def serving_state(self, model: str) -> TableState | None:
        """The statistics of the newest week of answers; None while nothing was answered."""
        windows = self._windows(model, "", "")
        return windows[-1][2] if windows else None

    def measure(self, model: str, *, since: str = "", until: str = "", policy: Policy = Policy()) -> dict[str, Any]:
        """Each feature of the newest week (or of a span), against the training set of the version that answers first.

        A feature is suspect by significance over all features and by effect; it alarms when it was in two of the last
        three weeks. Raises Invalid while nothing was answered or nobody knows what the version was trained on.
        """
        deployment = self._serving.deployment(model)
        if deployment is None:
            raise Invalid(f"no version of {model!r} is deployed, so nothing is served that could be skewed")
        version = self._training.version(model, deployment.primary)
        windows = self._windows(model, since, until)
        if not windows:
            raise Invalid(f"{model!r} has not answered anything yet: there are no statistics of what it serves")
        before: list[Mapping[str, bool]] = []
        verdicts: Sequence[Verdict] = ()
        for _, _, state in windows:
            verdicts = judge(self._compared(version.facts, state), before, policy)
            before.append({v.drift.column: v.suspect for v in verdicts})
        first, last, state = windows[-1]
        ranked = sorted(verdicts, key=lambda v: -v.drift.effect)
        return {
            "model": model,
            "version": version.version,
            "from": first,
            "to": last,
            "rows": state.rows,
            "windows": len(windows),
            "features": [
                asdict(v.drift)
                | {"effect": v.drift.effect, "p_adjusted": v.p_adjusted, "moved": v.suspect, "alarm": v.alarm}
                for v in ranked
            ],
        }

    def _compared(self, facts: Mapping[str, Any], state: TableState) -> list[Drift]:
        """Against the state of the training set, beyond what was usual in it from week to week; versions of earlier
        releases kept the bins alone."""
        references = self._references.of(facts.get("reference", ""))
        if digest := facts.get("statistics"):
            with self._blobs.open(digest) as file:
                return compare_states(TableState.from_bytes(file.read()), state, {r.column: r for r in references})
        if not references:
            raise Invalid("nothing is known of what this version was trained on: it was registered from elsewhere")
        return [compare_with(r, state.columns[r.column]) for r in references if r.column in state.columns]

    def _windows(self, model: str, since: str, until: str) -> list[tuple[str, str, TableState]]:
        """Up to three weeks, the newest last, or the one span that was named."""
        self.fold(model)
        name = TABLE + model
        if not self._metadata.read(lambda r: r.records.list(KIND, name, limit=1)):
            return []
        if since or until:
            found = self._validation.kept.select(name, since=since, until=until)
            return [(*found.covers, found.merged)]
        days = self._validation.kept.days(name)
        if not days:
            by_part = {d: s for d, s in self._validation.kept.select(name).by_partition.items() if s.rows}
            return [(min(by_part), max(by_part), TableState.merged(list(by_part.values())))] if by_part else []
        oldest = datetime.fromisoformat(days[-1]) + timedelta(days=1) - 3 * WINDOW
        days = [d for d in days if datetime.fromisoformat(d) >= oldest]
        by_day = self._validation.kept.select(name, since=days[0], until=days[-1]).by_partition
        made = []
        end = datetime.fromisoformat(days[-1]) + timedelta(days=1)
        for back in (2, 1, 0):
            high = end - back * WINDOW
            inside = [d for d in days if high - WINDOW <= datetime.fromisoformat(d) < high]
            if inside:
                made.append((inside[0], inside[-1], TableState.merged([by_day[d] for d in inside])))
        return made
