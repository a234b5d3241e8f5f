"""Skew as an alert: measured when answers were folded, judged as drift is, told once for each root cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hanok.compute.alarms import Policy
from hanok.core.declare import Model, view_columns
from hanok.core.errors import Invalid
from hanok.engine.skew import skew
from hanok.parts.monitoring.drift import EFFECT, HARM, OF, SIGNIFICANCE, WINDOWS

if TYPE_CHECKING:
    from hanok.engine.app import App

KIND, NEWEST = "skew", "newest"
POLICY = Policy(significance=SIGNIFICANCE, effect=EFFECT, windows=WINDOWS, of=OF)


def watch(app: App, name: str, importance: Mapping[str, float]) -> Mapping[str, Any] | None:
    """Measure the newest week of answers, keep it for the model's page, and raise or resolve its alerts.

    A feature alarms when it moved in two of the last three weeks and its importance times its effect could matter. What
    the drift report of that week judges already (moved, gone, harmless, benign) is told by it alone. The features of
    one table are one root cause: one alert names them. None while nothing is known of training.
    """
    try:
        found = skew(app, name, policy=POLICY)
    except Invalid:  # registered from elsewhere: there is nothing to compare with
        return None
    reports = [r for r in app.monitoring.drift_reports(name, limit=1) if r["day"] >= found["from"]]
    told = {f["feature"] for r in reports for f in r["features"] if f["suspicious"] or f["integrity"]}
    origin = origins(app.training.model(name))
    features = []
    for f in found["features"]:
        harm = importance.get(f["column"], 0.0) * f["effect"]
        alarm = f["alarm"] and harm > HARM and f["column"] not in told
        features.append(f | {"harm": harm, "table": origin.get(f["column"], ""), "alarm": alarm})
    body = found | {"features": sorted(features, key=lambda f: -f["harm"])}
    now = app.clock.now()
    app.metadata.write(lambda r: r.records.put(KIND, name, NEWEST, body, now))
    _tell(app, name, body, set(origin.values()))
    return body


def newest(app: App, name: str) -> Mapping[str, Any] | None:
    return app.metadata.read(lambda r: r.records.get(KIND, name, NEWEST))


def origins(model: Model) -> dict[str, str]:
    """The table that each feature comes from."""
    return dict.fromkeys(model.spine_columns, model.spine.table) | {
        n: view.source.table for view in model.views for n in view_columns(view)
    }


def _tell(app: App, name: str, body: Mapping[str, Any], tables: set[str]) -> None:
    for table in sorted(tables):
        mine = [f for f in body["features"] if f["table"] == table]
        alarming = [f for f in mine if f["alarm"]]
        fingerprint = f"skew:{table}"
        if not alarming:
            app.alerts.resolve(name, fingerprint, f"as in training from {body['from']} to {body['to']}")
            continue
        worst = alarming[0]
        others = f" and {len(alarming) - 1} more of {table}" if len(alarming) > 1 else f" of {table}"
        app.alerts.raise_(
            name,
            KIND,
            fingerprint,
            f"{worst['column']}{others}: what {name} answers with is not what version {body['version']} was trained "
            f"on, PSI {worst['psi']:.2f}",
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
