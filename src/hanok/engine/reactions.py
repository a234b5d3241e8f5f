"""What happens after an event: online values, alerts on data, labels joined to predictions, messages to webhooks."""

from __future__ import annotations

import pyarrow as pa

from hanok.compute.duck import arrow, connect
from hanok.core.alerts import ALERT, INFO, SENT, Sent
from hanok.core.clock import Clock
from hanok.core.lineage import Event
from hanok.core.tables import SEQUENCE
from hanok.engine.bus import Bus
from hanok.engine.declared import Declared
from hanok.engine.labelling import Labelling
from hanok.engine.notify import Outbound, send
from hanok.parts.features.service import Features
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.training.service import Training
from hanok.parts.validation.service import Validation
from hanok.stores.ports import Metadata, Tables


class Reactions:
    """The bus calls these, each with one event of the kinds that `connect_to` names."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        tables: Tables,
        features: Features,
        validation: Validation,
        training: Training,
        monitoring: Monitoring,
        labelling: Labelling,
        declared: Declared,
        outbound: Outbound,
        clock: Clock,
    ) -> None:
        self._metadata, self._tables, self._clock, self._outbound = metadata, tables, clock, outbound
        self._features, self._validation, self._labelling = features, validation, labelling
        self._training, self._monitoring, self._declared = training, monitoring, declared

    def connect_to(self, bus: Bus) -> None:
        bus.on("online-values", {"batch_ingested"}, self.push_online)
        bus.on("data-alerts", {"batch_ingested"}, self.alert_on_data)
        bus.on("labels", {"batch_ingested"}, self.join_labels)
        bus.on("webhooks", {"alert_raised", "alert_resolved"}, self.send_alert)
        bus.on("labels-that-came-first", {"batch_predicted"}, self.join_earlier_labels)

    def push_online(self, event: Event) -> None:
        table, rows = event.facts["table"], self._batch(event)
        if rows is not None:
            self._features.push(table, rows)
            self._tell_of_views(table, event, rows)

    def _tell_of_views(self, table: str, event: Event, rows: pa.Table) -> None:
        """Alert on windows that took values for null because they are no numbers, and on views that have no online
        values; until a batch is without."""
        facts = {"batch": str(event.facts["batch"])}
        said = {f"not-a-number:{column}": text for column, text in self._features.no_numbers(table, rows).items()}
        unfilled = self._features.unfilled(table)
        said |= {f"no-online-values:{v}": f"feature view {v}: {why}" for v, why in unfilled.items()}
        alerts = self._monitoring.alerts
        for fingerprint, text in said.items():
            alerts.raise_(
                table, "features", fingerprint, f"{table}: {text}"[:400], facts=facts, caused_by=event.subject
            )
        for alert in alerts.list(table, state="open"):
            if alert.kind == "features" and alert.fingerprint not in said:
                alerts.resolve(table, alert.fingerprint, f"in order again in {facts['batch']!r}")

    def alert_on_data(self, event: Event) -> None:
        result = self._validation.result(event.facts["table"], event.facts["batch"])
        if result is not None:
            self._monitoring.batch_checked(
                result.table,
                result.batch,
                event.subject,
                result.anomalies,
                result.statistics,
                result.units,
                lambda since: self._validation.batches.waiting(result.table, since),
                lambda kind, column, since: self._validation.batches.standing(
                    result.table, kind, column, since, self._validation.overlay(result.table)
                ),
            )

    def join_labels(self, event: Event) -> None:
        """Join a batch of a label table to the answers that it labels."""
        if event.facts["rows"]:
            for model in self._declared.answering():
                if model.label.table == event.facts["table"]:
                    self._labelling.join(model)

    def join_earlier_labels(self, event: Event) -> None:
        """Join labels that had arrived before the batch of answers that they are for."""
        for model in self._declared.answering():
            if model.name == event.facts["model"]:
                self._labelling.join(model)

    def send_alert(self, event: Event) -> None:
        """Send an alert to the webhooks of the models it concerns, and keep what came of it. What only informs is shown
        and not sent."""
        alert = ALERT.open(event.facts)
        if alert is None or alert.severity == INFO:
            return
        for model in self._training.models():
            if model.alert is None or alert.subject not in (model.name, *model.tables):
                continue
            outcome = send(model.alert.url, alert, outbound=self._outbound)
            self._keep(model.name, str(event.sequence), Sent(alert.id, model.alert.url, outcome, event.kind))

    def _keep(self, model: str, key: str, sent: Sent) -> None:
        now = self._clock.now()
        self._metadata.write(lambda r: r.records.put(SENT.name, model, key, SENT.body(sent), now))

    def _batch(self, event: Event) -> pa.Table | None:
        table, first, rows = event.facts["table"], event.facts["first"], event.facts["rows"]
        if not rows or table not in self._features.sources():
            return None
        with connect({"source": self._tables.scan(table)}) as duck:
            return arrow(
                duck,
                f"SELECT * FROM source WHERE {SEQUENCE} >= {first} AND {SEQUENCE} < {first + rows} ORDER BY {SEQUENCE}",
            )
