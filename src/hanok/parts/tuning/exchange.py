"""A study with its trials as one JSON document, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hanok.core.errors import Corrupt, Invalid
from hanok.core.json import JsonObject
from hanok.core.records import from_body, to_body
from hanok.core.tuning import ENDED, Study, Trial

FORMAT = 1


def exported(study: Study, trials: Sequence[Trial]) -> JsonObject:
    """Trials that have not ended are left out: nobody could end them elsewhere. So are reports that are no numbers."""

    def plain(trial: Trial) -> JsonObject:
        reports = {step: value for step, value in trial.reports.items() if math.isfinite(value)}
        return to_body(replace(trial, lease=None, token="", run_id="", reports=reports))

    return {
        "format": FORMAT,
        "study": to_body(replace(study, experiment_id="")),
        "trials": [plain(t) for t in trials if t.is_ended],
    }


def imported(body: JsonObject, name: str) -> tuple[Study, list[Trial]]:
    """Raises Invalid for what was not exported so."""
    study, trials = body.get("study"), body.get("trials")
    if body.get("format") != FORMAT or not isinstance(study, Mapping) or not isinstance(trials, list | tuple):
        raise Invalid("this is no exported study: it has format, study and trials ('hanok study export' writes one)")
    try:
        declared = from_body(Study, study)
        found = [from_body(Trial, t) for t in trials if isinstance(t, Mapping)]
    except Corrupt as error:
        raise Invalid(f"the exported study cannot be read: {error.message}") from None
    if any(t.state not in ENDED for t in found):
        raise Invalid("an exported study holds trials that have ended; one has not")
    return replace(declared, name=name or declared.name), found
