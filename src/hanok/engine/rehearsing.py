"""`hanok rehearse`: which faults `hanok why` would name of this very model, tried on copies of its own past answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta

from hanok.compute.drift import Reference
from hanok.core.errors import HanokError, NotFound
from hanok.core.rehearsal import REHEARSAL, Rehearsal
from hanok.engine.answered import widened
from hanok.engine.evidence import Evidence
from hanok.engine.incident import Incident, incident
from hanok.engine.rehearsed import Rehearsed, Rehearsing, run
from hanok.stores.ports import Metadata

DAY = timedelta(days=1)
DAYS = 10  # that are looked at as they were
BUDGET_S = 60.0

Elsewhere = Callable[[Rehearsing, str], Rehearsed]
"""Runs a rehearsal of the package with this digest."""


class Rehearsals:
    """`elsewhere` is where rehearsals run; None: in this process. A server puts a process of its own there."""

    def __init__(self) -> None:
        self.elsewhere: Elsewhere | None = None
        self._tried: dict[str, tuple[int, date]] = {}

    def rehearse(self, parts: Evidence, name: str, *, budget_s: float = BUDGET_S) -> Rehearsal:
        """Put faults into copies of the days that the version that answers has answered, and ask what is wrong.
        Raises NotFound where nothing was answered, or too little to compare with."""
        parts.serving.compact(everything=True)
        deployment = parts.serving.deployment(name)
        if deployment is None:
            raise NotFound(f"{name!r} answers nothing: deploy a version first")
        version = deployment.primary
        trained = parts.training.version(name, version)
        served = parts.serving.model(name, version)
        importance = parts.packages.load(trained.package).notes.get("importance", {})
        references = parts.references.of(trained.facts.get("reference", ""))
        if not references:
            raise NotFound(
                f"of version {version} of {name!r} nothing is known of what it was trained on, so its days cannot be "
                "compared; train it here, or log its training data with it"
            )
        order = sorted((r.column for r in references), key=lambda c: -float(importance.get(c, 0.0)))
        work = Rehearsing(
            served.signature.task,
            str(trained.facts["metric"]),
            tuple(order),
            tuple(_days(parts, name, version, references)),
            budget_s,
        )
        if self.elsewhere is None or parts.packages.is_foreign(trained.package):  # that one has a process of its own
            found = run(work, served.score)
        else:
            found = self.elsewhere(work, trained.package)
        made = Rehearsal(name, version, parts.clock.now(), found.answers, found.faults, found.quiet, found.left)
        parts.metadata.write(lambda r: r.records.put(REHEARSAL.name, name, "newest", REHEARSAL.body(made), made.made))
        return made

    def rehearse_new(self, parts: Evidence) -> None:
        """Rehearse each version that answers and was not rehearsed yet, once a day until it has answered enough."""
        today = parts.clock.now().date()
        for model in parts.training.models():
            deployment = parts.serving.deployment(model.name)
            known = newest(parts.metadata, model.name)
            if deployment is None or (known is not None and known.version == deployment.primary):
                continue
            turn = deployment.primary, today
            if self._tried.get(model.name) == turn:
                continue
            self._tried[model.name] = turn
            with suppress(HanokError):  # too few answers yet
                self.rehearse(parts, model.name)


def newest(metadata: Metadata, name: str) -> Rehearsal | None:
    """The last rehearsal of a model; None where it was not rehearsed."""
    return REHEARSAL.open(metadata.read(lambda r: r.records.get(REHEARSAL.name, name, "newest")))


def _days(parts: Evidence, name: str, version: int, references: Sequence[Reference]) -> list[Incident]:
    """The newest whole days with answers, the newest first. Raises NotFound where there is none."""
    model = parts.declared.of(name, version) or parts.declared.present(name)
    now = parts.clock.now()
    answered = [d for d in parts.monitoring.answered_days(name, until=now, limit=DAYS + 1) if d + DAY <= now]
    made = []
    for day in answered[::-1][:DAYS]:
        wide = widened(parts, name, day, day + DAY)
        made.append(incident(parts, model, version, references, wide.start if wide else day, day + DAY))
    if not made:
        raise NotFound(f"{name!r} has not answered for a whole day yet; a rehearsal needs some days of answers")
    return made
