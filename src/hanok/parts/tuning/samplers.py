"""Who chooses the next parameters, and who says that a trial may stop early: Optuna's algorithms, and plain lists.

They work on a copy of the study in memory, which is caught up with the store before each proposal: a restart, a
second server or a client that adds trials by hand changes nothing for them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, cast

from hanok.compute.spaces import Parameter, Space
from hanok.core.errors import Conflict, Invalid, MissingExtra
from hanok.core.json import Json, JsonObject
from hanok.core.tuning import COMPLETE, PRUNED, WAITING, Algorithm, Point, Study, Trial
from hanok.parts.tuning.names import near

if TYPE_CHECKING:
    import optuna


LISTED = ("grid", "gridsearch", "batch")


class NothingLeft(Conflict):
    """Every combination of the space has been tried, or is being tried."""

    code = "space_exhausted"


@dataclass(frozen=True, slots=True)
class Proposal:
    """The parameters to try, the numbers beneath them, and what the algorithm keeps with the trial."""

    params: JsonObject
    points: Mapping[str, Point]
    attributes: JsonObject = field(default_factory=dict)


class Searcher:
    """One study in memory: Optuna's sampler and pruner over a copy of its trials. Its owner calls it one at a time."""

    def __init__(self, study: Study, space: Space, *, made: int = 0) -> None:
        """`made` trials are there already: the sampler draws on, and does not begin its draws again. Raises Invalid for
        an algorithm that is not known or arguments that it does not take."""
        optuna = _optuna()
        study = replace(study, seed=study.seed + made)
        self._space = space
        self._kinds = {p.name: _distribution(p) for p in space.parameters()}
        self._listed = _Listed(study, space) if study.sampler.name.lower() in LISTED else None
        self._study = optuna.create_study(
            directions=list(study.directions),
            sampler=_sampler(study),
            pruner=_pruner(study) if study.pruner else optuna.pruners.NopPruner(),
        )
        self._numbers: dict[int, int] = {}  # a trial's number here, by its id in the store
        self._proposed: dict[str, int] = {}  # by token, until the store has them
        self._ended: set[int] = set()

    def propose(self, token: str) -> Proposal:
        """The next parameters, for a trial that will carry this token. Raises NothingLeft."""
        if self._listed is not None:
            return self._listed.next()
        trial = self._study.ask()
        self._proposed[token] = trial.number
        params = self._space.draw(lambda p: float(trial._suggest(p.name, self._kinds[p.name])))
        made = self._frozen(trial.number)
        points = {
            name: Point(kind.to_internal_repr(made.params[name]), _written(kind))
            for name, kind in made.distributions.items()
        }
        return Proposal(params, points, dict(made.system_attrs))

    def given(self, params: JsonObject) -> Proposal:
        """Parameters that a person chose. Raises Invalid where the space does not hold them."""
        numbers = self._space.numbers(params)
        return Proposal(params, {n: Point(v, _written(self._kinds[n])) for n, v in numbers.items()})

    def drop(self, token: str) -> None:
        """The proposal did not become a trial."""
        if self._listed is not None:
            self._listed.give_back()
        if (number := self._proposed.pop(token, None)) is not None:
            self._study.tell(number, state=_optuna().trial.TrialState.FAIL)

    def catch_up(self, trials: Sequence[Trial]) -> None:
        """Take in trials that are new or have changed."""
        for trial in trials:
            if self._listed is not None:
                self._listed.take(trial)
            if trial.state == WAITING or trial.id in self._ended or not set(trial.points) <= set(self._kinds):
                continue
            number = self._numbers.get(trial.id, self._proposed.pop(trial.token, None))
            if number is None:
                number = self._add(trial)
            self._numbers[trial.id] = number
            self._follow(trial, number)

    def should_stop(self, trial: Trial) -> bool:
        """Whether the pruner would end this running trial, by its reports and those of the others."""
        number = self._numbers.get(trial.id)
        if number is None or not trial.reports or len(self._study.directions) > 1:
            return False
        return bool(self._study.pruner.prune(self._study, self._frozen(number)))

    def _follow(self, trial: Trial, number: int) -> None:
        """Reports and the end of a trial that is here."""
        if self._frozen(number).state.is_finished():
            if trial.is_ended:
                self._ended.add(trial.id)
            return
        known = self._frozen(number).intermediate_values
        for step, value in trial.reports.items():
            if known.get(step) != value:
                self._study._storage.set_trial_intermediate_value(self._id(number), step, value)
        if trial.is_ended:
            values = list(trial.values) if trial.state == COMPLETE else None
            self._study.tell(number, values, state=_state(trial))
            self._ended.add(trial.id)

    def _add(self, trial: Trial) -> int:
        """A trial that was not proposed here: from before a restart, from another server, or added by hand."""
        number = len(self._study.get_trials(deepcopy=False))
        kinds = {name: self._kinds[name] for name in trial.points}
        self._study.add_trial(
            _optuna().trial.create_trial(
                state=_state(trial),
                params={name: kinds[name].to_external_repr(p.value) for name, p in trial.points.items()},
                distributions=kinds,
                values=list(trial.values) if trial.state == COMPLETE else None,
                intermediate_values=dict(trial.reports),
                system_attrs=dict(trial.system_attrs),
            )
        )
        return number

    def _frozen(self, number: int) -> optuna.trial.FrozenTrial:
        return self._study._storage.get_trial(self._id(number))

    def _id(self, number: int) -> int:
        return self._study._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number)


class _Listed:
    """Every combination in order: a grid, or (`batch`) the one choice that the space holds, option by option."""

    def __init__(self, study: Study, space: Space) -> None:
        self._batch = study.sampler.name.lower() == "batch"
        parameters = list(space.parameters())
        if self._batch and (len(space.entries) != 1 or parameters[0].kind != "choice"):
            raise Invalid("the batch sampler takes a space of one choice, whose options are the trials")
        points = study.sampler.arguments.get("points", 10)
        if isinstance(points, bool) or not isinstance(points, int) or points < 1:
            raise Invalid(f"the grid's points are a whole number of at least 1, got {points!r}")
        self._space, self._points = space, points
        self._taken: set[str] = set()
        self._handed: set[str] = set()  # proposed, not seen in the store yet
        self._left = self._combinations()

    def take(self, trial: Trial) -> None:
        self._taken.add(_same(trial.params))
        self._handed.discard(_same(trial.params))

    def give_back(self) -> None:
        """What was proposed and has not become a trial is proposed again."""
        self._taken -= self._handed
        self._handed.clear()
        self._left = self._combinations()

    def next(self) -> Proposal:
        for proposal in self._left:
            if (key := _same(proposal.params)) not in self._taken:
                self._taken.add(key)
                self._handed.add(key)
                return proposal
        raise NothingLeft("every combination of the space has been tried; widen the space, or take another sampler")

    def _combinations(self) -> Iterator[Proposal]:
        kinds = {p.name: _written(_distribution(p)) for p in self._space.parameters()}
        for place, params in enumerate(self._space.grid(self._points)):
            name, option = next(iter(params.items()))
            if self._batch:
                whole = option if isinstance(option, Mapping) else params
                yield Proposal(whole, {name: Point(float(place), kinds[name])})
            else:
                yield Proposal(params, {n: Point(v, kinds[n]) for n, v in self._space.numbers(params).items()})


def _same(params: JsonObject) -> str:
    return json.dumps(params, sort_keys=True)


SAMPLERS = {
    "random": "RandomSampler",
    "tpe": "TPESampler",
    "anneal": "TPESampler",
    "evolution": "NSGAIISampler",
    "nsga2": "NSGAIISampler",
    "cmaes": "CmaEsSampler",
    "qmc": "QMCSampler",
    "gp": "TPESampler",
}
PRUNERS = {
    "median": "MedianPruner",
    "medianstop": "MedianPruner",
    "percentile": "PercentilePruner",
    "asha": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "wilcoxon": "WilcoxonPruner",
    "threshold": "ThresholdPruner",
}


def _sampler(study: Study) -> optuna.samplers.BaseSampler:
    if study.sampler.name.lower() in LISTED:
        return _optuna().samplers.RandomSampler(seed=study.seed)
    return cast("optuna.samplers.BaseSampler", _algorithm(SAMPLERS, "sampler", study.sampler, seed=study.seed))


def _pruner(study: Study) -> optuna.pruners.BasePruner:
    return cast("optuna.pruners.BasePruner", _algorithm(PRUNERS, "pruner", study.pruner or Algorithm("none")))


def _state(trial: Trial) -> optuna.trial.TrialState:
    states = _optuna().trial.TrialState
    if not trial.is_ended:
        return states.RUNNING
    return {COMPLETE: states.COMPLETE, PRUNED: states.PRUNED}.get(trial.state, states.FAIL)


def _written(kind: optuna.distributions.BaseDistribution) -> str:
    return _optuna().distributions.distribution_to_json(kind)


def _algorithm(table: Mapping[str, str], what: str, chosen: Algorithm, seed: int | None = None) -> object:
    optuna = _optuna()
    name = chosen.name.lower().replace("-", "").replace("_", "")
    if name not in table:
        known = [*table, "grid", "batch"] if what == "sampler" else list(table)
        raise Invalid(f"{what} {chosen.name!r} is not known{near(chosen.name, known)}; there are {', '.join(known)}")
    arguments: dict[str, Json] = dict(chosen.arguments)
    if seed is not None:
        arguments.setdefault("seed", seed)
    if table[name] == "TPESampler":
        arguments.setdefault("constant_liar", True)
    if table[name] == "CmaEsSampler":
        arguments.setdefault("warn_independent_sampling", False)
    made = getattr(optuna.samplers if what == "sampler" else optuna.pruners, table[name])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return made(**arguments)
    except (TypeError, ValueError) as error:
        raise Invalid(f"{what} {chosen.name!r}: {error}") from None


def _distribution(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.kind == "choice":
        return CategoricalDistribution(list(range(parameter.count)))
    if parameter.kind == "int":
        return IntDistribution(int(parameter.low), int(parameter.high))
    return FloatDistribution(parameter.low, parameter.high, log=parameter.kind == "log")


def _optuna() -> ModuleType:
    try:
        import optuna
    except ModuleNotFoundError:
        raise MissingExtra("tuning needs Optuna: pip install 'hanok[automl]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
