"""The verbs of proof: why, rehearse, reproduce."""

from __future__ import annotations

from datetime import datetime, timedelta

from hanok.core.access import Access
from hanok.core.durations import duration
from hanok.core.errors import Invalid, NotFound
from hanok.core.json import JsonObject
from hanok.core.rehearsal import REHEARSAL
from hanok.core.wording import near
from hanok.engine import diagnose
from hanok.engine.answered import last_day
from hanok.engine.evidence import Evidence
from hanok.engine.rehearsing import Rehearsals
from hanok.engine.verbs.registry import verb
from hanok.engine.why_prediction import why_prediction
from hanok.parts.tracking.service import Tracking

VERSION_DIGITS_MAX = 10
BUDGET_MAX_S = 3600.0


@verb("why", Access.READ, "heavy")
def why(parts: Evidence, *, subject: str, day: datetime | None = None, until: datetime | None = None) -> JsonObject:
    """Ranked causes of a strange prediction (its id), an alert (its id), or a model's day."""
    if "~" in subject:
        return why_prediction(parts, subject).as_dict()
    if subject in _models(parts):
        parts.serving.compact(everything=True)
        start = day or last_day(parts, subject)
        if until is not None and until <= start:
            raise Invalid(f"the end, {until:%Y-%m-%d %H:%M}, is not after the day, {start:%Y-%m-%d %H:%M}")
        return diagnose.why_window(parts, subject, start, until or start + timedelta(days=1)).as_dict()
    try:
        parts.alerts.get(subject)
    except NotFound:
        raise NotFound(f"{subject[:80]!r} is none of what can be asked about{_forms(parts, subject)}") from None
    return diagnose.why_alert(parts, subject).as_dict()


@verb("rehearse", Access.EDIT, "long")
def rehearse(parts: Evidence, rehearsals: Rehearsals, *, model: str, budget: str = "60s") -> JsonObject:
    """Put faults of many kinds into copies of past answers, and say which of them `why` would name of this model.
    `budget` is the longest time, like 60s or 10m."""
    parts.declared.present(model)
    seconds = duration(budget).total_seconds()
    if seconds > BUDGET_MAX_S:
        raise Invalid(f"a rehearsal takes an hour at most, and {budget} is longer: hanok rehearse {model} --budget 1h")
    made = rehearsals.rehearse(parts, model, budget_s=seconds)
    return REHEARSAL.body(made)


def _models(parts: Evidence) -> list[str]:
    """The declared models that the caller may see."""
    seen = set(parts.metadata.read(lambda r: r.declarations.names("model")))
    return [m.name for m in parts.training.models() if m.name in seen]


def _forms(parts: Evidence, subject: str) -> str:
    """What `why` takes, with the models that there are."""
    known = _models(parts)
    models = f"; models: {', '.join(known)}" if known else ""
    return (
        f"{near(subject, known) or '.'} Ask about a prediction (the id that 'hanok predict' prints), an alert (its id "
        f"in 'hanok alert list'), or a model's day: hanok why MODEL --day 2026-01-31{models}"
    )


@verb("reproduce", Access.EDIT, "heavy")
def reproduce(parts: Evidence, tracking: Tracking, *, subject: str) -> JsonObject:
    """Rebuild the training set and the model of a version (MODEL@VERSION or a run id) and compare their bytes."""
    from hanok.engine.reproduce import reproduce as rebuild

    name, _, version = subject.partition("@")
    if version.removeprefix("v").isdecimal() and len(version) <= VERSION_DIGITS_MAX:
        return rebuild(parts, name, int(version.removeprefix("v"))).as_dict()
    for model in parts.metadata.read(lambda r: r.registry.models()):
        for known in tracking.registry.versions(model.name):
            if known.run_id and subject and known.run_id.startswith(subject):
                return rebuild(parts, model.name, known.version).as_dict()
    raise Invalid(f"{subject[:80]!r} is neither MODEL@VERSION nor a run that made a version; see 'hanok model show'")
