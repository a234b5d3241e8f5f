"""What a study may be told, and what becomes of a trial by it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from hanok.core.errors import Conflict, Invalid, TrialEnded
from hanok.core.json import Json
from hanok.core.tuning import CANCELLED, COMPLETE, ENDED, FAILED, PRUNED, Limits, Study, Trial, TrialState, plain_value
from hanok.parts.tuning.names import near

CLIENT = "client"
REASON_MAX = 2000
SECONDS = ("max_seconds", "lease_s")


def check_asked(study: Study) -> None:
    """Raises Conflict for a study whose clients choose the parameters."""
    if study.space is None or study.sampler.name == CLIENT:
        raise Conflict(f"the parameters of study {study.name!r} are chosen by its clients; it cannot be asked for them")


def changed(limits: Limits, given: Mapping[str, int | float | None]) -> Limits:
    """Limits with some of them set. Raises Invalid for a name or a value that makes no sense."""
    known = Limits.__dataclass_fields__
    for name, value in given.items():
        if name not in known:
            raise Invalid(f"a study has no limit {name!r}{near(name, known)}; it has {', '.join(known)}")
        if isinstance(value, float) and name not in SECONDS:
            raise Invalid(f"the limit {name} is a whole number, got {value:g}")
        if value is None and known[name].default is not None:
            raise Invalid(f"the limit {name} cannot be null")
    return replace(limits, **given)  # type: ignore[arg-type]


def check(directions: Sequence[str], limits: Limits) -> None:
    if not directions or any(d not in ("minimize", "maximize") for d in directions):
        raise Invalid(f"each objective is to 'minimize' or to 'maximize', got {list(directions)!r}")
    checks: list[tuple[str, float | None, Callable[[float], bool]]] = [
        ("max_trials", limits.max_trials, lambda v: v >= 1),
        ("max_seconds", limits.max_seconds, lambda v: v > 0),
        ("concurrency", limits.concurrency, lambda v: v >= 1),
        ("lease_s", limits.lease_s, lambda v: v > 0),
        ("retries", limits.retries, lambda v: v >= 0),
    ]
    for name, value, good in checks:
        if value is not None and not good(value):
            raise Invalid(f"the limit {name} cannot be {value:g}")


def check_open(trial: Trial, token: str) -> None:
    """Raises TrialEnded for a trial that is over, or that another worker has by now."""
    if trial.state in ENDED:
        raise TrialEnded(
            f"trial {trial.number} ended as {trial.state}{f' ({trial.reason})' if trial.reason else ''}; "
            "what it was told then stays"
        )
    if token and trial.token and token != trial.token:
        raise TrialEnded(f"trial {trial.number} is worked on by another worker now; this one was given up")


def outcome(study: Study, trial: Trial, value: Json, state: TrialState | None, reason: str, now: datetime) -> Trial:
    """The trial as it ends by what was told."""
    if state is not None and state not in ENDED:
        raise Invalid(f"a trial ends as {', '.join(ENDED)}, not as {state!r}")
    if state in (FAILED, CANCELLED):
        return replace(trial, state=state, ended=now, reason=reason[:REASON_MAX], lease=None)
    if state == PRUNED and value is None:
        last = trial.reports[max(trial.reports)] if trial.reports else None
        kept = (last,) if last is not None and len(study.directions) == 1 else ()
        return replace(trial, state=PRUNED, ended=now, values=kept, reason=reason[:REASON_MAX], lease=None)
    given = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if len(given) != len(study.directions):
        raise Invalid(f"study {study.name!r} has {len(study.directions)} objectives, told were {len(given)} values")
    numbers = [plain_value(v) for v in given]
    bad = next((g for g, v in zip(given, numbers, strict=True) if v is None or math.isnan(v)), None)
    if any(v is None or math.isnan(v) for v in numbers):
        told = f"told {str(bad)[:80]!r}, which is no number"
        return replace(trial, state=FAILED, ended=now, reason=told, lease=None)
    values = tuple(v for v in numbers if v is not None)
    return replace(trial, state=state or COMPLETE, ended=now, values=values, reason=reason[:REASON_MAX], lease=None)


def objective(study: Study, place: int) -> str:
    return "value" if len(study.directions) == 1 else f"value_{place}"
