"""Why nothing was answered: what was to be asked about came, and checks kept it out."""

from __future__ import annotations

from datetime import datetime

from hanok.compute.hypotheses import judged
from hanok.engine.causes import change
from hanok.engine.diagnosed import Diagnosis, Suspect, Symptom
from hanok.engine.evidence import Evidence
from hanok.engine.incident import incident


def why_nothing(parts: Evidence, name: str, start: datetime, end: datetime) -> Diagnosis | None:
    """The cause of a window without an answer; None where no row of the spine was kept out in it."""
    deployment = parts.serving.deployment(name)
    if deployment is None:
        return None
    version = deployment.primary
    model = parts.declared.of(name, version) or parts.declared.present(name)
    references = parts.references.of(parts.training.version(name, version).facts.get("reference", ""))
    house = incident(parts, model, version, references, start, end)
    spine = next(t for t in house.case.tables if t.table == model.spine.table)
    if not sum(spine.aside[: house.case.asked]):
        return None
    verdict = judged(house.case)
    usual = change(house, verdict).usual
    since = house.began(verdict.onset).isoformat()
    found = tuple(
        Suspect(p.name, p.kind, p.reason, 1.0, since, p.columns, {"loss_restored": None, "rows": 0.0}, p.next)
        for p in (c.proposal for c in verdict.causes[:1])
    )
    told = f"{found[0].name}: {found[0].reason}" if found else f"{spine.reason}"
    symptom = Symptom(usual_mean_score=usual.score, usual_loss=usual.loss)
    sentence = f"{name} answered nothing, as every row of {model.spine.table} was set aside. {told}"
    return Diagnosis(name, start.isoformat(), end.isoformat(), sentence, symptom, found)
