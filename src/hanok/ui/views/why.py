"""Why: the ranked causes of an alert, a prediction, or a model's day, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hanok.core.errors import Invalid
from hanok.engine import diagnose
from hanok.engine.answered import last_day
from hanok.engine.diagnosed import Diagnosis
from hanok.engine.evidence import Evidence
from hanok.engine.parts import find
from hanok.engine.why_prediction import why_prediction
from hanok.ui.views.common import Ask

if TYPE_CHECKING:
    from hanok.engine.app import App

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Why:
    """`before` and `after` are the neighbouring days, for walking along."""

    now: datetime
    subject: str
    day: str
    before: str
    after: str
    diagnosis: Diagnosis


def why(app: App, ask: Ask) -> Why:
    """`subject` is a prediction id, an alert id, or a model with `?day=`. Raises NotFound, Invalid."""
    subject, text = ask.path["subject"], ask.text("day", "")
    app.serving.compact(everything=True)
    if "~" in subject:
        found = why_prediction(find(app, Evidence), subject)
    elif subject in app.metadata.read(lambda r: r.declarations.names("model")):
        evidence = find(app, Evidence)
        start = _day(text) if text else last_day(evidence, subject)
        found = diagnose.why_window(evidence, subject, start, start + DAY)
    else:
        found = diagnose.why_alert(find(app, Evidence), subject)
    start = datetime.fromisoformat(found.end) - DAY
    day, before, after = (f"{start + step * DAY:%Y-%m-%d}" for step in (0, -1, 1))
    return Why(app.clock.now(), subject, day, before, after, found)


def _day(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise Invalid(f"day={text[:40]!r} is not a day; write it like 2013-12-31") from None
