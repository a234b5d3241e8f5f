"""The verbs of proof: why, reproduce."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hanok.core.access import Access
from hanok.core.errors import Invalid
from hanok.engine import diagnose
from hanok.engine.verbs.registry import verb


@verb("why", Access.READ)
def why(app: Any, actor: str, *, subject: str, day: str = "", until: str = "") -> dict[str, Any]:
    """Ranked causes of a strange prediction (its id), an alert (its id), or a model's day."""
    if "~" in subject:
        return diagnose.why_prediction(app, subject).as_dict()
    if subject in {m.name for m in app.training.models()}:
        try:
            start = datetime.fromisoformat(day).replace(tzinfo=UTC) if day else _last_day(app)
            end = datetime.fromisoformat(until).replace(tzinfo=UTC) if until else start + timedelta(days=1)
        except ValueError as error:
            raise Invalid(f"not a day: {error}; write it like 2013-12-31") from None
        app.serving.compact(everything=True)
        return diagnose.why_window(app, subject, start, end).as_dict()
    return diagnose.why_alert(app, subject).as_dict()


@verb("reproduce", Access.EDIT)
def reproduce(app: Any, actor: str, *, subject: str) -> dict[str, Any]:
    """Rebuild the training set and the model of a version (MODEL@VERSION or a run id) and compare their bytes."""
    from hanok.engine.reproduce import reproduce as rebuild

    name, _, version = subject.partition("@")
    if version.removeprefix("v").isdigit():
        return rebuild(app, name, int(version.removeprefix("v"))).as_dict()
    for model in app.metadata.read(lambda r: r.registry.models()):
        for known in app.tracking.registry.versions(model.name):
            if known.run_id and known.run_id.startswith(subject):
                return rebuild(app, model.name, known.version).as_dict()
    raise Invalid(f"{subject[:80]!r} is neither MODEL@VERSION nor a run that made a version; see 'hanok model show'")


def _last_day(app: Any) -> datetime:
    now = app.clock.now() - timedelta(microseconds=1)
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
