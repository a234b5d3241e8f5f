"""Search: a baseline, a linear model, LightGBM with defaults, then tuned LightGBM until the budget is spent.

Candidates are compared on the last part of the training rows by time; the winner is trained anew on all of them.
What was tried becomes a plan, and a plan can be run again without a clock.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pyarrow as pa

from hanok.compute.frames import Frame
from hanok.compute.metrics import HIGHER_IS_BETTER, chosen_metric, evaluate, row_losses
from hanok.compute.runtimes import Package
from hanok.core.clock import wall_seconds
from hanok.core.declare import AutoML
from hanok.core.errors import MissingExtra, NotTrainable
from hanok.core.json import JsonObject
from hanok.core.training import Line, Plan, Recipe
from hanok.parts.automl import quality
from hanok.parts.automl.boosting import DEFAULTS, ROUNDS_MAX, fit_boosting, suggest
from hanok.parts.automl.folding import newest_part
from hanok.parts.automl.linear import fit_linear, importance

if TYPE_CHECKING:
    from optuna import Study

VALID_SHARE = 0.2
WIDE = 100  # columns of the matrix from which a linear model needs stronger regularisation than its default
LINEAR_STRENGTHS = (1.0, 0.03, 0.001)
TUNING_ROWS_MAX = 40_000
LABEL_MAX = 1e36  # of a number: differences, and sums of some hundreds of them, stay within 32 bits
FORMAT = 2  # of finished parts of a search


@dataclass(frozen=True, slots=True)
class Candidate:
    """One line of the leaderboard. `value` is the metric on the validation part."""

    name: str
    recipe: Recipe
    value: float
    metrics: Mapping[str, float]
    seconds: float
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Search:
    """The outcome: the servable winner, the leaderboard (winner first, then by metric), the plan that made it."""

    package: Package
    leaderboard: tuple[Candidate, ...]
    plan: Plan
    metric: str
    board: tuple[Line, ...] = ()  # of an ensemble, whose lines say more

    @property
    def best(self) -> Candidate:
        return self.leaderboard[0]

    @property
    def lines(self) -> tuple[Line, ...]:
        """The leaderboard as it is kept."""
        return self.board or tuple(
            Line(c.name, _spec(c.recipe), dict(c.metrics), round(c.seconds, 3)) for c in self.leaderboard
        )


def search_key(frame: Frame, settings: AutoML) -> str:
    """Of a search: the same rows, metric and seed have the same finished parts, whatever the budget."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, frame.table.schema) as writer:
        writer.write_table(frame.table)
    said = orjson.dumps([FORMAT, frame.signature.as_dict(), frame.label, settings.metric, settings.seed])
    said += orjson.dumps([frame.gap_us, frame.at_random])
    found = sha256(said + frame.at.tobytes() + (frame.groups.tobytes() if frame.groups is not None else b""))
    found.update(sink.getvalue())
    return found.hexdigest()[:40]


def search(frame: Frame, settings: AutoML, finished: quality.Finished | None = None) -> Search:
    """Find a model within the budget. What is `finished` of the same search is not done again. Raises NotTrainable,
    MissingExtra."""
    metric = chosen_metric(frame.task, settings.metric)
    _check_label(frame)
    if settings.as_ensemble:
        return _ensemble(frame, settings, metric, finished)
    _need_extra()
    fit, valid = _validation_split(frame)
    runner = _Runner(frame, fit, valid, metric, settings.seed)
    trials = settings.trials if settings.trials is not None else 0
    runner.run(Recipe("baseline"))
    for strength in LINEAR_STRENGTHS if frame.signature.width > WIDE else LINEAR_STRENGTHS[:1]:
        runner.run(Recipe("linear", strength))
    runner.run(Recipe("boosting", parameters=DEFAULTS))
    study = _study(settings.seed, metric)
    for _ in range(trials):
        trial = study.ask()
        candidate = runner.run(Recipe("boosting", parameters=suggest(trial)))
        study.tell(trial, candidate.value)
    return runner.finish()


def run_plan(frame: Frame, plan: Plan) -> Search:
    """Train what the plan chose, with the rounds it found: no clock, no sampler."""
    _check_label(frame)
    if plan.members:
        return _of_plan(frame, plan)
    _need_extra()
    package = _fit(frame, plan.recipe, plan.seed, rounds=plan.rounds)
    candidate = Candidate(plan.recipe.kind, plan.recipe, float("nan"), {}, 0.0, plan.rounds)
    return Search(package, (candidate,), plan, plan.metric)


def _check_label(frame: Frame) -> None:
    """Raises NotTrainable for a label from which nothing can be learnt."""
    infinite = int((~np.isfinite(frame.y)).sum())
    if infinite:
        raise NotTrainable(f"the label is infinite in {infinite} of {frame.rows} rows: mend them in the source first")
    largest = float(np.abs(frame.y).max())
    if frame.task == "regression" and largest > LABEL_MAX:
        raise NotTrainable(
            f"the label reaches {largest:.3g}, and trees learn in 32 bits, up to {LABEL_MAX:g}: "
            "give it in a larger unit, or its logarithm, in the source first"
        )
    if frame.y.min() == frame.y.max():
        raise NotTrainable(f"the label has the same value in all {frame.rows} rows that are learnt from")


def _ensemble(frame: Frame, settings: AutoML, metric: str, finished: quality.Finished | None) -> Search:
    """A search for an ensemble."""
    searching = quality.Searching(frame, settings, metric, finished)
    found = searching.run()
    if finished is not None:
        finished.done()
    best = found.plan.recipe
    chosen = Candidate("ensemble" if len(found.weights) > 1 else best.kind, best, found.blend[metric], found.blend, 0.0)
    others = [
        Candidate(f"{t.recipe.kind}-{i}", t.recipe, t.metrics[metric], t.metrics, t.seconds, t.rounds)
        for i, t in enumerate(found.tried)
    ]
    value, metrics = quality.constant_line(searching)
    baseline = Candidate("baseline", Recipe("baseline"), value, metrics, 0.0)
    first = Line(
        chosen.name,
        {"kind": chosen.name, "members": [others[i].name for i in found.weights]},
        dict(found.blend),
        0.0,
        found.error,
        1.0,
        sum(map(len, found.package.files.values())),
        found.row_us,
        found.why,
    )
    order = quality.better_first(metric, [c.value for c in others])
    lines = [_line(others[int(i)]) for i in order]
    kept = [
        replace(line, error=found.tried[int(i)].error, weight=round(found.weights.get(int(i), 0.0), 4))
        for i, line in zip(order, lines, strict=True)
    ]
    last = Line("baseline", {"kind": "baseline"}, dict(metrics), 0.0)
    board = (chosen, *(others[int(i)] for i in order), baseline)
    return Search(found.package, board, found.plan, metric, (first, *kept, last))


def _of_plan(frame: Frame, plan: Plan) -> Search:
    candidate = Candidate("ensemble", plan.recipe, float("nan"), {}, 0.0, plan.rounds)
    return Search(quality.assembled(frame, plan), (candidate,), plan, plan.metric)


class _Runner:
    def __init__(self, frame: Frame, fit: Frame, valid: Frame, metric: str, seed: int) -> None:
        self.frame, self.fit, self.valid, self.metric, self.seed = frame, fit, valid, metric, seed
        self.done: list[Candidate] = []
        self.losses: list[np.ndarray] = []

    def run(self, recipe: Recipe) -> Candidate:
        started = wall_seconds()
        rounds = 0
        if recipe.kind == "boosting":
            package, rounds = fit_boosting(
                self.fit, recipe.parameters, seed=self.seed, rounds=ROUNDS_MAX, valid=self.valid
            )
        else:
            package = _fit(self.fit, recipe, self.seed, rounds=0)
        score = package.load().score(self.valid.X)
        metrics = evaluate(self.frame.task, self.valid.y, score)
        name = f"{recipe.kind}-{len(self.done)}"
        candidate = Candidate(name, recipe, metrics[self.metric], metrics, wall_seconds() - started, rounds)
        self.done.append(candidate)
        self.losses.append(row_losses(self.frame.task, self.metric, self.valid.y, score))
        return candidate

    def _cheapest_of_the_best(self, best: int) -> int:
        """The smallest of the candidates whose loss is within one standard error of the best one's, row by row (the
        one-standard-error rule of Breiman et al. 1984, section 3.4.3): it trains and answers faster, and no worse."""

        def within(place: int) -> bool:
            worse = self.losses[place] - self.losses[best]
            return bool(worse.mean() <= worse.std() / np.sqrt(len(worse)))

        eligible = [i for i in range(len(self.done)) if np.isfinite(self.done[i].value) and within(i)]
        return min(eligible, key=lambda i: (_size(self.done[i].recipe, self.done[i].rounds), i))

    def finish(self) -> Search:
        sign = -1.0 if HIGHER_IS_BETTER.get(self.metric) else 1.0
        key = [sign * c.value if np.isfinite(c.value) else np.inf for c in self.done]
        order = np.argsort(key, kind="stable")
        if not np.isfinite(key[order[0]]):
            raise NotTrainable(f"no candidate reached a finite {self.metric}; is the label constant in the last rows?")
        chosen = self._cheapest_of_the_best(int(order[0]))
        grown = self.frame.rows / max(1, self.fit.rows)
        rounds = max(1, round(self.done[chosen].rounds * min(1.25, grown**0.5))) if self.done[chosen].rounds else 0
        plan = Plan(tuple(c.recipe for c in self.done), chosen, rounds, self.seed, self.metric)
        package = _fit(self.frame, plan.recipe, self.seed, rounds=rounds)
        first = [chosen, *(int(i) for i in order if i != chosen)]
        return Search(package, tuple(self.done[i] for i in first), plan, self.metric)


def _size(recipe: Recipe, rounds: int) -> int:
    """What a candidate costs to train and to answer: its leaves."""
    return rounds * int(recipe.parameters["num_leaves"]) if recipe.kind == "boosting" else 1


def _fit(frame: Frame, recipe: Recipe, seed: int, *, rounds: int) -> Package:
    if recipe.kind == "boosting":
        return fit_boosting(frame, recipe.parameters, seed=seed, rounds=rounds)[0]
    if recipe.strength is not None:
        package = fit_linear(frame, recipe.strength)
        return Package(package.runtime, package.signature, package.files, {"importance": importance(package)})
    return _constant(frame)


def _constant(frame: Frame) -> Package:
    """The baseline: always the mean, or the shares of the classes."""
    if frame.task == "multiclass":
        shares = np.bincount(frame.y.astype(int), minlength=len(frame.signature.classes)) / frame.rows
        intercepts, link = np.log(np.clip(shares, 1e-9, 1)), "softmax"
    else:
        mean = float(frame.y.mean())
        link = "identity" if frame.task == "regression" else "logistic"
        clipped = min(max(mean, 1e-9), 1 - 1e-9)
        intercepts = np.array([mean if link == "identity" else np.log(clipped / (1 - clipped))])
    content = orjson.dumps(
        {
            "shape": {"numeric": [], "categorical": []},
            "coefficients": [[] for _ in intercepts],
            "intercepts": intercepts.tolist(),
            "link": link,
        }
    )
    return Package("linear", frame.signature, {"linear.json": content}, {"importance": {}})


def _validation_split(frame: Frame) -> tuple[Frame, Frame]:
    """The last fifth by time, a seeded fifth when all rows are of one instant; large sets are thinned."""
    fold = newest_part(frame, VALID_SHARE)
    return frame.take(_thinned(fold.fit, TUNING_ROWS_MAX)), frame.take(_thinned(fold.valid, TUNING_ROWS_MAX // 4))


def _thinned(indices: np.ndarray, rows_max: int) -> np.ndarray:
    if len(indices) <= rows_max:
        return indices
    return indices[np.sort(np.random.default_rng(0).choice(len(indices), rows_max, replace=False))]


def _study(seed: int, metric: str) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction = "maximize" if HIGHER_IS_BETTER.get(metric) else "minimize"
    return optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=4))


def _need_extra() -> None:
    """Say what to install before half of a search is done."""
    missing = [name for name in ("lightgbm", "sklearn", "optuna") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"AutoML needs {', '.join(missing)}, which is not installed: pip install 'hanok[automl]'")


def _line(candidate: Candidate) -> Line:
    return Line(candidate.name, _spec(candidate.recipe), dict(candidate.metrics), round(candidate.seconds, 3))


def _spec(recipe: Recipe) -> JsonObject:
    """A recipe in the few words that are its own."""
    if recipe.kind == "boosting":
        return {"kind": recipe.kind, "parameters": dict(recipe.parameters)}
    strength: JsonObject = {"strength": recipe.strength} if recipe.strength is not None else {}
    return {"kind": recipe.kind, **strength, **({"parameters": dict(recipe.parameters)} if recipe.parameters else {})}
