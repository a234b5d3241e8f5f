"""python -m bench.validation.stories HOME: what monitoring made of a replayed flights year.

The wind of 1048 mph, the temperature that drifts without harm beside the lateness that drifts with it, the rain that
is 0 in most hours, the weather that ended a day before the year, and how estimates and alarms went.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.tools import row
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.diagnose import why_alert
from hanok.engine.evidence import Evidence
from hanok.engine.parts import find
from hanok.parts.monitoring.estimates import record

MODEL, TEMPERATURE, RAIN, LOUD = "late-arrival", "weather__temp", "weather__precip", 3.0
LAST_DAY = "2013-12-31"


def measure(home):
    app = open_app(Config(home=Path(home)))
    try:
        return [*_data(app), *_drift(app), *_estimates(app), *_alerts(app)]
    finally:
        app.close()


def _data(app):
    yield row("weather rows in quarantine", app.tables.size("quarantine--weather"), "", "wind of 1048 mph")


def _drift(app):
    loud = harmless = both = above = 0
    rain = 0.0
    for report in app.monitoring.drift_reports(MODEL):
        names = [f.feature for f in report.features]
        by_name = dict(zip(names, report.features, strict=True))
        rain = max(rain, by_name[RAIN].psi)
        warm = by_name[TEMPERATURE]
        if not (warm.suspicious and warm.psi > LOUD):
            continue
        loud, harmless = loud + 1, harmless + warm.harmless
        late = [n for n, f in by_name.items() if ("late" in n or "delay" in n) and (f.costs or 0) > 0.005]
        if late:
            both += 1
            above += min(map(names.index, late)) < names.index(TEMPERATURE)
    yield row("days on which temperature has a PSI above 3", loud, "", f"{harmless} of them tried and harmless")
    yield row("of these, lateness drifted and cost", both, "", f"ranked above temperature on {above}")
    yield row("the farthest week of rain", rain, "PSI", "0 in quantile bins, which collapse; its zeros have their own")


def _estimates(app):
    for window in ("week", "day"):
        found = app.monitoring.estimates.list(MODEL, window, limit=1000)
        counts = record(found)
        note = f"{counts['inside']} inside; of {counts['held']} whose calibration held {counts['held_inside']}"
        yield row(f"{window}s checked", counts["checked"], "", note)
        if window == "day":
            last = found[-1]
            said = "; ".join(last.doubts) if last.start == LAST_DAY and not last.reliable else "NOT FLAGGED"
            yield row("the last day, before its labels", last.rows, "rows", said)


def _alerts(app):
    every = app.alerts.list(limit=100_000)
    for kind in sorted({a.kind for a in every}):
        mine = [a for a in every if a.kind == kind]
        sent = sum(a.severity != "info" for a in mine)
        yield row(f"alerts of kind {kind}", len(mine), "", f"{sent} sent")
    feed = next(a for a in every if a.kind == "feed" and a.subject == "weather")
    yield row("the outage, named by why", 1, "", why_alert(find(app, Evidence), feed.id).sentence[:110])


if __name__ == "__main__":
    for line in measure(sys.argv[1]):
        print(f"  {line['what']:<48} {line['value']:>6}  {line['unit']:<5} {line['note']}")
