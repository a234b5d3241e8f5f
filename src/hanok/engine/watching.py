"""Looking after what serves: performance, drift, skew and silent feeds, from the prediction log and the labels."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from hanok.core.access import SYSTEM, acting
from hanok.core.clock import Clock
from hanok.core.declare import Model
from hanok.core.errors import NotFound, words
from hanok.core.monitoring import DriftReport
from hanok.core.performance import MEASURED, Measured
from hanok.engine.alike import Alike
from hanok.engine.declared import Declared
from hanok.engine.labelling import Labelling
from hanok.engine.references import References
from hanok.engine.skew import FOLD_ROWS, Skew
from hanok.parts.features.service import Features
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.service import Serving
from hanok.parts.training.service import Training
from hanok.stores.ports import Metadata

log = logging.getLogger("hanok.watching")
DAY = timedelta(days=1)
LITTLE_TRAFFIC = 300  # labelled answers in the days that are measured
DAYS_CAUGHT_UP = 35  # of answers that were given at once, such as a month's
MISSING_GAIN = 0.1  # of a model's gain may be missing before its estimates are withheld


class Watching:
    """Measures models day by day, and tables by how long they are silent."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        features: Features,
        serving: Serving,
        packages: Packages,
        training: Training,
        monitoring: Monitoring,
        alerts: Alerts,
        references: References,
        skew: Skew,
        labelling: Labelling,
        declared: Declared,
        alike: Alike,
        clock: Clock,
    ) -> None:
        self._metadata, self._clock, self._packages, self._references = metadata, clock, packages, references
        self._features, self._serving, self._training = features, serving, training
        self._monitoring, self._alerts, self._skew = monitoring, alerts, skew
        self._labelling, self._declared, self._alike = labelling, declared, alike

    def measure(self, name: str, day: datetime, *, days_back: int = 2, least: int = FOLD_ROWS) -> None:
        """Performance of the last days whose labels may have come, the drift of `day`, and the skew of the week once
        `least` answers have gathered."""
        folded = self._skew.fold(name, least=least)
        model = self._declared.present(name)
        days = [day - i * DAY for i in range(days_back, -1, -1)]
        answers = self._monitoring.measure(name, model.task, days)
        deployment = self._serving.deployment(name)
        if deployment is None:
            return
        version = self._training.version(name, deployment.primary)
        references = self._references.of(version.facts.get("reference", ""))
        live = self._packages.load(version.package)
        importance = live.notes.get("importance")
        if not importance:  # not known: every feature may matter
            importance = {r.column: 1 / len(references) for r in references}
        report = self._monitoring.drift(
            name,
            version.id,
            references,
            importance,
            live,
            start=day,
            end=day + DAY,
            versions=self._alike.of(name, version.version),
        )
        if folded:
            self._skew.watch(name, importance)
        self._tell_decline(model, sum(len(a.label) for a in answers.values()))
        self._monitoring.estimates.follow(name, model.task, answers, day, self._doubts(name, version.version, report))

    def _tell_decline(self, model: Model, labelled: int) -> None:
        """With much traffic, estimates by day and week say what the labels make of a model; with little, this does."""
        said = self._training.declined(model) if labelled < LITTLE_TRAFFIC else ""
        if said:
            self._alerts.raise_(model.name, "performance", "performance-drop", said)
        else:
            self._alerts.resolve(model.name, "performance-drop", "its metric is again what it was at the gate")

    def measure_live(self) -> None:
        """Once an hour: performance and drift of the newest days, for everything that serves. What fails for one
        model is an alert of that model, and holds up no other; it is tried again in the next hour."""
        now = self._clock.now()
        hour = Measured(f"{now:%Y-%m-%dT%H}")
        done = self._metadata.read(lambda r: {str(b["_name"]): MEASURED.open(b) for b in r.records.list(MEASURED.name)})
        for model in self._declared.answering():
            if self._serving.deployment(model.name) and done.get(model.name) != hour:
                self._isolated(model, now)
                self._note_measured(model.name, hour, now)

    def measure_now(self, name: str) -> datetime:
        """Join what labels there are and measure the newest days, whenever that was done last. Raises ModelNotFound,
        NotFound for a model that does not answer."""
        model, now = self._declared.present(name), self._clock.now()
        if self._serving.deployment(name) is None:
            raise NotFound(f"{name!r} answers nothing, so there is nothing to measure: hanok deploy {name}")
        self._catch_up(model, now)
        self._alerts.resolve(name, "measuring-failed", "it is measured again")
        self._note_measured(name, Measured(f"{now:%Y-%m-%dT%H}"), now)
        return now

    def _isolated(self, model: Model, now: datetime) -> None:
        try:
            self._catch_up(model, now)
        except Exception as error:
            log.exception("measuring %s failed", model.name)
            self._alerts.raise_(
                model.name,
                "measuring",
                "measuring-failed",
                f"{model.name} could not be measured: {words(error)}"[:400],
            )
        else:
            self._alerts.resolve(model.name, "measuring-failed", "it is measured again")

    def _catch_up(self, model: Model, now: datetime) -> None:
        """Join what labels there are, and measure today, or the newest day that was answered, and every day before it
        whose answers came at once or while no server looked."""
        self._labelling.join(model)
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        answered = self._monitoring.answered_days(model.name, until=today + DAY, limit=DAYS_CAUGHT_UP)
        if not answered:  # deployed, and not asked yet
            return
        looked_at = {report.day for report in self._monitoring.drift_reports(model.name)}
        newest = max(answered)
        for day in answered:
            if day < newest and f"{day:%Y-%m-%d}" not in looked_at:
                self.measure(model.name, day, days_back=0, least=1)
        self.measure(model.name, newest, days_back=7, least=1)

    def _note_measured(self, name: str, hour: Measured, now: datetime) -> None:
        self._metadata.write(lambda r: r.records.put(MEASURED.name, name, "hour", MEASURED.body(hour), now))

    def check_feeds(self) -> None:
        """Alarm on tables that have fallen silent."""
        with acting(SYSTEM):
            for table in self._sources():
                self._monitoring.check_feed(table)

    def _doubts(self, name: str, version: int, report: DriftReport | None) -> list[str]:
        """Why what came in that day cannot be trusted to mean what it meant before, for the version that answers."""
        missing = [f for f in report.features if f.missing] if report else []
        gone = [f.feature for f in missing] if sum(f.importance for f in missing) > MISSING_GAIN else []
        reads = (self._declared.of_answer(name, version) or self._declared.present(name)).tables
        silent = [
            a.subject for a in self._alerts.list(state="open", limit=1000) if a.kind == "feed" and a.subject in reads
        ]
        return [
            *([f"{', '.join(gone[:3])}{' and more' * (len(gone) > 3)} missing"] if gone else []),
            *(f"{table} has fallen silent" for table in silent),
        ]

    def _sources(self) -> list[str]:
        tables = [v.source.table for v in self._features.views()]
        for model in self._training.models():
            tables += [model.spine.table, model.label.table]
        for model in self._declared.live():
            tables += model.tables
        return list(dict.fromkeys(tables))
