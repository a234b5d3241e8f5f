"""When triggers rest: after trainings that died or failed, until something changed that lets one hope."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hanok.core.clock import Clock
from hanok.core.declare import Model, digest
from hanok.core.errors import TrainingDied, TrainingTimedOut
from hanok.core.training import GIVEN_UP, GivenUp
from hanok.core.workflows import FAILED, Workflow
from hanok.parts.training.durable import CLOSED, Durable
from hanok.parts.training.needs import Alarms
from hanok.stores.ports import Metadata

FAILURES_MAX = 3  # of triggered trainings in a row, then a person has to look
GROWN = 1.1  # this many times the labelled rows are reason enough to try again
DIED = "training-died"
DEATHS = frozenset({TrainingDied.code, TrainingTimedOut.code, CLOSED})


class Resting:
    """What ended badly is kept with the declaration, the code of `train=` included, under which it did."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        durable: Durable,
        alarms: Alarms,
        clock: Clock,
        label_rows: Callable[[str], int],
    ) -> None:
        self._metadata, self._durable, self._alarms, self._clock = metadata, durable, alarms, clock
        self._label_rows = label_rows

    def died(self, model: Model, workflow_id: str, said: str) -> None:
        """A training took its process with it, or more time than it may: a person is told."""
        self._keep(model, workflow_id)
        what = (
            f"{model.name}: {said}. No trigger begins another one until the declaration or the code of train= changes; "
            f"mend the cause, then: hanok train {model.name}"
        )
        self._alarms.raise_(model.name, "training", DIED, what, severity="critical")

    def came_to_its_end(self, model: str) -> None:
        self._alarms.resolve(model, DIED, "a training came to its end")

    def rests(self, model: Model, attempts: Sequence[Workflow]) -> bool:
        """Whether triggers begin nothing. `attempts`: the last trainings of the model, the newest first."""
        newest = attempts[0] if attempts else self._last_kept(model)
        if newest is not None and newest.state == FAILED and newest.result.get("code") in DEATHS:
            return self._kept(model, newest.id).declaration == digest(model)
        return self._given_up(model, attempts[:FAILURES_MAX])

    def _given_up(self, model: Model, last: Sequence[Workflow]) -> bool:
        """Whether the last trainings that triggers began all failed. Tried again once the declaration changes, somebody
        trains, or a tenth more labelled rows are there."""
        if len(last) < FAILURES_MAX or any(w.state != FAILED or w.arguments.get("actor") != "hanok" for w in last):
            self._alarms.resolve(model.name, "training-given-up", "a training came to its end")
            return False
        then = self._kept(model, last[0].id)
        grown = self._label_rows(model.label.table) > GROWN * then.label_rows
        if then.declaration != digest(model) or grown:
            return False
        self._alarms.raise_(
            model.name,
            "training",
            "training-given-up",
            f"{model.name}: the last {FAILURES_MAX} trainings failed, so no other one is begun "
            f"({last[0].result.get('error', '')}). Mend the cause, then: hanok train {model.name}",
            severity="critical",
        )
        return True

    def _kept(self, model: Model, workflow_id: str) -> GivenUp:
        """How things were when this training ended; as they are now, from here on, where nobody noted it."""
        then = GIVEN_UP.open(self._metadata.read(lambda r: r.records.get(GIVEN_UP.name, model.name, workflow_id)))
        return self._keep(model, workflow_id) if then is None else then

    def _keep(self, model: Model, workflow_id: str) -> GivenUp:
        present, at = GivenUp(digest(model), self._label_rows(model.label.table)), self._clock.now()
        body = GIVEN_UP.body(present)
        self._metadata.write(lambda r: r.records.put(GIVEN_UP.name, model.name, workflow_id, body, at))
        return present

    def _last_kept(self, model: Model) -> Workflow | None:
        """Of a model whose trainings are long past."""
        kept = self._metadata.read(lambda r: r.records.list(GIVEN_UP.name, model.name, limit=1))
        return self._durable.get(str(kept[0]["_key"])) if kept else None
