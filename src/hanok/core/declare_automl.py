"""What a project says of a model that Hanok finds: the metric, the budget, and what it may cost to answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from hanok.core import wording
from hanok.core.errors import DeclarationError
from hanok.core.metric_names import ANY_TASK
from hanok.core.wording import declaration, give

AUTO = "auto"
QUALITY, LIGHT = "quality", "light"


@declaration
@dataclass(frozen=True, slots=True, init=False)
class AutoML:
    """Let Hanok find the model.

    `budget` is wall-clock time ("8s") for the whole training, or `trials` a number of tuning trials; a wall-clock
    budget becomes a recorded plan, and what is reproduced or resumed is that plan. `mode` is "quality" (an ensemble) or
    "light" (the best single model of the same search; trials count its candidates then). By default a budget asks for
    quality, and trials for the plain search. `max_latency_us` bounds what one row may take.
    """

    metric: str
    budget: timedelta | None
    trials: int | None
    seed: int
    mode: str | None = None
    max_latency_us: int | None = None

    def __init__(
        self,
        *,
        metric: str = "auto",
        budget: str | timedelta | None = None,
        trials: int | None = None,
        seed: int = 7,
        mode: str | None = None,
        max_latency_us: int | None = None,
    ) -> None:
        if budget is not None and trials is not None:
            raise DeclarationError("AutoML takes budget='8s' or trials=20, not both")
        give(self, "metric", wording.one_of("AutoML metric", metric, (AUTO, *ANY_TASK)))
        give(self, "budget", None if budget is None else wording.span("AutoML budget", budget, like="'8s'"))
        found = trials if trials is None else wording.whole("AutoML trials", trials, least=0)
        give(self, "trials", found if found is not None or budget is not None else 8)
        give(self, "seed", wording.whole("AutoML seed", seed))
        give(self, "mode", None if mode is None else wording.one_of("AutoML mode", mode, (QUALITY, LIGHT)))
        bound = None if max_latency_us is None else wording.whole("AutoML max_latency_us", max_latency_us, least=1)
        give(self, "max_latency_us", bound)

    @property
    def as_ensemble(self) -> bool:
        """Whether the search looks for an ensemble: with a budget, or where a mode or a latency was asked for."""
        return self.budget is not None or self.mode is not None or self.max_latency_us is not None
