"""Skew as an alert: measured when answers were folded, judged as drift is, told once for each root cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanok.compute.alarms import Policy
from hanok.core.clock import Clock
from hanok.core.declare import Model, view_columns
from hanok.core.errors import Invalid
from hanok.engine.skew import Skew
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.drift import EFFECT, HARM, OF, SIGNIFICANCE, WINDOWS
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.training.service import Training
from hanok.stores.ports import Metadata

KIND, NEWEST = "skew", "newest"
POLICY = Policy(significance=SIGNIFICANCE, effect=EFFECT, windows=WINDOWS, of=OF)


class SkewWatch:
    """Raises and resolves alerts on skew."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        training: Training,
        monitoring: Monitoring,
        alerts: Alerts,
        skew: Skew,
        clock: Clock,
    ) -> None:
        self._metadata, self._training, self._monitoring = metadata, training, monitoring
        self._alerts, self._skew, self._clock = alerts, skew, clock

    def watch(self, name: str, importance: Mapping[str, float]) -> Mapping[str, Any] | None:
        """Measure the newest week of answers, keep it for the model's page, and raise or resolve its alerts.

        A feature alarms when it moved in two of the last three weeks and its importance times its effect could matter.
        What the drift report of that week judges already (moved, gone, harmless, benign) is told by it alone. The
        features of one table are one root cause: one alert names them. None while nothing is known of training.
        """
        try:
            found = self._skew.measure(name, policy=POLICY)
        except Invalid:  # registered from elsewhere: there is nothing to compare with
            return None
        reports = [r for r in self._monitoring.drift_reports(name, limit=1) if r["day"] >= found["from"]]
        told = {f["feature"] for r in reports for f in r["features"] if f["suspicious"] or f["integrity"]}
        origin = origins(self._training.model(name))
        features = []
        for f in found["features"]:
            harm = importance.get(f["column"], 0.0) * f["effect"]
            alarm = f["alarm"] and harm > HARM and f["column"] not in told
            features.append(f | {"harm": harm, "table": origin.get(f["column"], ""), "alarm": alarm})
        body = found | {"features": sorted(features, key=lambda f: -f["harm"])}
        now = self._clock.now()
        self._metadata.write(lambda r: r.records.put(KIND, name, NEWEST, body, now))
        self._tell(name, body, set(origin.values()))
        return body

    def _tell(self, name: str, body: Mapping[str, Any], tables: set[str]) -> None:
        for table in sorted(tables):
            mine = [f for f in body["features"] if f["table"] == table]
            alarming = [f for f in mine if f["alarm"]]
            fingerprint = f"skew:{table}"
            if not alarming:
                self._alerts.resolve(name, fingerprint, f"as in training from {body['from']} to {body['to']}")
                continue
            worst = alarming[0]
            others = f" and {len(alarming) - 1} more of {table}" if len(alarming) > 1 else f" of {table}"
            self._alerts.raise_(
                name,
                KIND,
                fingerprint,
                f"{worst['column']}{others}: what {name} answers with is not what version {body['version']} was "
                f"trained on, PSI {worst['psi']:.2f}",
                facts={
                    "table": table,
                    "features": [f["column"] for f in alarming],
                    "version": body["version"],
                    "from": body["from"],
                    "to": body["to"],
                    "psi": worst["psi"],
                    "harm": worst["harm"],
                },
            )


def newest(metadata: Metadata, name: str) -> Mapping[str, Any] | None:
    return metadata.read(lambda r: r.records.get(KIND, name, NEWEST))


def origins(model: Model) -> dict[str, str]:
    """The table that each feature comes from."""
    return dict.fromkeys(model.spine_columns, model.spine.table) | {
        n: view.source.table for view in model.views for n in view_columns(view)
    }
