"""The search for an ensemble: a portfolio in fixed order, then small changes of the best trees, until the budget is
spent or nothing helps any more; the members that Caruana's selection chose are fitted once on all rows.

What was chosen is a plan. Run again it needs no clock: recipes, weights, rounds and temperature stand in it.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from hanok.compute.feature_steps import Floats
from hanok.compute.frames import Frame
from hanok.compute.metrics import HIGHER_IS_BETTER, best_constant, evaluate, row_losses
from hanok.compute.runtimes import Package
from hanok.compute.runtimes.ensemble import Assembly, tempered
from hanok.core.clock import wall_seconds
from hanok.core.declare import AutoML
from hanok.core.errors import NotTrainable
from hanok.core.records import to_body
from hanok.core.training import Member, Number, Plan, Recipe
from hanok.parts.automl import blending
from hanok.parts.automl.boosting import GAIN_MAX
from hanok.parts.automl.folding import Fold, by_instants, folds_of, inner_folds, thinned
from hanok.parts.automl.members import FittedMember, Problem, fit_member, problem_of
from hanok.parts.automl.steps import Learnt, learn

log = logging.getLogger("hanok.automl")
RESERVE_S, RESERVE_A_COLUMN_S = 1.5, 0.015  # for the gate, the registration and what is kept of each column
RESERVE_MAX = 0.35  # of a budget that is smaller than what it would be kept from
REFITS = 2.3  # of what was chosen: on the rows before the holdout, and on all of them, which are more
COSTS = {"linear": 0.4, "net": 0.8}  # guesses, until one of the kind was fitted
PATIENCE = 8  # changes in a row that help nothing
KEPT_CELLS_MAX = 30_000_000  # of extended matrices of folds, held at once
TREES: dict[str, Number] = {"learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 20, "encoded": 0}
FAST = TREES | {"learning_rate": 0.1}
SAMPLED: dict[str, Number] = {"feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 3.0}
SCALED = (
    ("num_leaves", 0.6, 4, 160),
    ("min_data_in_leaf", 0.7, 3, 200),
    ("lambda_l2", 1.0, 1e-3, 100),
    ("learning_rate", 0.3, 0.02, 0.15),
)
PORTFOLIO: tuple[Recipe, ...] = (
    Recipe("trees", parameters=FAST),
    Recipe("linear", 1.0),
    Recipe("trees", parameters=TREES | SAMPLED | {"encoded": 1}),
    Recipe("net", parameters={"log": 1}),
    Recipe("trees", parameters=TREES | SAMPLED | {"num_leaves": 8, "encoded": 1, "log": 1}),
    Recipe("linear", 0.02, parameters={"log": 1}),
    Recipe("trees", parameters=TREES | SAMPLED | {"num_leaves": 63, "min_data_in_leaf": 8, "learning_rate": 0.03}),
    Recipe("linear", 0.001),
    Recipe("trees", parameters=TREES | SAMPLED | {"num_leaves": 90, "extra_trees": 1, "encoded": 1, "log": 1}),
    Recipe("net", parameters={"second": 1}),
)


@dataclass(slots=True)
class Tried:
    """A candidate that was fitted on every fold: its answers, its rounds, its cost."""

    recipe: Recipe
    answers: Floats
    rounds: int
    seconds: float
    value: float
    error: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    package: Package
    plan: Plan
    tried: tuple[Tried, ...]
    weights: dict[int, float]
    blend: dict[str, float]
    error: float
    why: str
    row_us: float


class Budget:
    """Seconds that a search may take; without a bound it never ends by time."""

    def __init__(self, seconds: float | None) -> None:
        self._began, self.seconds = wall_seconds(), seconds

    @property
    def left(self) -> float:
        return float("inf") if self.seconds is None else self.seconds - (wall_seconds() - self._began)

    @property
    def spent(self) -> float:
        return wall_seconds() - self._began


class Clock:
    """When a fit has to end, and whether it was stopped by that."""

    def __init__(self, ends: float) -> None:
        self._ends, self.stopped = ends, False

    def go_on(self) -> bool:
        self.stopped = wall_seconds() >= self._ends
        return not self.stopped


class Finished(Protocol):
    """Parts of a search that were finished before it was cut down."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, content: bytes) -> None: ...

    def done(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Part:
    """A candidate on one fold."""

    answers: Floats
    rounds: int
    seconds: float
    stopped: bool = False  # by the clock: not what a search with more time would find

    def written(self) -> bytes:
        said = {"rounds": self.rounds, "seconds": self.seconds, "shape": self.answers.shape}
        return orjson.dumps(said) + b"\n" + np.ascontiguousarray(self.answers, np.float64).tobytes()

    @classmethod
    def read(cls, raw: bytes) -> Part:
        head, _, body = raw.partition(b"\n")
        said = orjson.loads(head)
        return cls(np.frombuffer(body, np.float64).reshape(said["shape"]), said["rounds"], said["seconds"])


class Searching:
    """One search over one frame."""

    def __init__(self, frame: Frame, settings: AutoML, metric: str, finished: Finished | None = None) -> None:
        self._finished = finished
        self._whole, self._settings = frame, settings
        self.frame = thinned(frame)
        self._budget = Budget(settings.budget.total_seconds() if settings.budget else None)
        self._classes = len(frame.signature.classes)
        self.problem = problem_of(frame.y, frame.task, self._classes, metric)
        self.tried: list[Tried] = []
        self._folds = folds_of(self.frame, settings.seed)
        self._learnt: dict[int, tuple[Learnt, Floats]] = {}
        self._levels = levels_of(frame)
        self._most = max(1, settings.trials) if settings.trials is not None else 10_000

    def run(self) -> Outcome:
        for recipe in self._portfolio()[: self._most]:
            self._try(recipe)
        if not self.tried:
            self._try(PORTFOLIO[0], hasty=True)
        if not self.tried:
            raise NotTrainable("no candidate could be fitted within the budget: give it more, like budget='10s'")
        self._change_the_best()
        return self._finish()

    # -- candidates ------------------------------------------------------------------------------------------

    def _portfolio(self) -> list[Recipe]:
        """What differs for this problem: a logarithm only where it is better behaved, weak penalties where columns
        are few."""
        found = []
        for recipe in PORTFOLIO:
            if not self.problem.skewed and recipe.parameters.get("log"):
                recipe = replace(recipe, parameters={k: v for k, v in recipe.parameters.items() if k != "log"})
            if recipe.kind == "linear" and recipe.strength == 0.001 and self.frame.signature.width < 100:
                continue
            if recipe not in found:
                found.append(recipe)
        return found

    def _change_the_best(self) -> None:
        random = np.random.default_rng(self._settings.seed)
        best, idle = self._blended()[1], 0
        for _ in range(self._most - len(self._portfolio())):
            trees = [t for t in self.tried if t.recipe.kind == "trees"]
            if not trees or idle >= PATIENCE:
                break
            parent = min(trees, key=lambda t: t.value)
            if not self._try(changed(parent.recipe, random)):
                break
            now = self._blended()[1]
            idle = 0 if now < best - 1e-4 * abs(best) else idle + 1
            best = min(best, now)

    def _try(self, recipe: Recipe, *, hasty: bool = False) -> bool:
        """Fit a recipe on every fold, if there is time. False when there is none left."""
        parts: list[Part] = []
        for place, fold in enumerate(self._folds):
            key = sha256(orjson.dumps([to_body(recipe), place, len(self._folds)])).hexdigest()
            kept = self._finished.get(key) if self._finished is not None else None
            if kept is not None:
                parts.append(Part.read(kept))
            else:
                expected = max((p.seconds for p in parts), default=self._expected(recipe))
                needed = expected * (len(self._folds) - place) + self._refit(expected)
                if not hasty and needed > self._budget.left - self._reserve():
                    return not self.tried
                parts.append(self._part(recipe, place, fold))
                if self._finished is not None and not parts[-1].stopped:
                    self._finished.put(key, parts[-1].written())
            if not self.tried and place == 0 and self._few(parts[0].seconds):
                self._folds = self._folds[:1]
                break
        self._add(recipe, parts)
        return True

    def _expected(self, recipe: Recipe) -> float:
        """The seconds of a fold: what the likes of it took, or the trees, in proportion to what each should cost."""
        likes = [t for t in self.tried if t.recipe.kind == recipe.kind]
        units = [t.seconds / len(self._folds) / cost_of(t.recipe) for t in likes or self.tried]
        return cost_of(recipe) * max(units, default=0.0)

    def _part(self, recipe: Recipe, place: int, fold: Fold) -> Part:
        at = wall_seconds()
        learnt, held = self._of_fold(place, fold)
        clock = Clock(self._ends(at))
        made = self._fitted(recipe, learnt, held, fold, clock)
        return Part(made.answers, made.rounds, wall_seconds() - at, clock.stopped)

    def _ends(self, began: float) -> float:
        """When a fit on one fold has to end."""
        left = self._budget.left - self._reserve()
        if left == float("inf"):
            return left
        return began + max(0.2, left / 4 if self.tried else left / 4.5)  # its refits come after it

    def _reserve(self) -> float:
        """What the chosen members take to be fitted again, and all that follows."""
        fixed = self._fixed()
        return fixed + self._refits([i for i, _ in self._blended()[0]]) if self.tried else fixed

    def _fixed(self) -> float:
        seconds = RESERVE_S + RESERVE_A_COLUMN_S * len(self._whole.signature.inputs)
        return min(seconds, RESERVE_MAX * self._budget.seconds) if self._budget.seconds is not None else 0.0

    def _refits(self, places: Sequence[int]) -> float:
        return self._refit(sum(self.tried[i].seconds for i in places) / len(self._folds))

    def _refit(self, seconds: float) -> float:
        """What it takes to fit again what took so many seconds on a fold."""
        return REFITS * seconds * self._whole.rows / max(1, len(self._folds[0].fit))

    def _few(self, first: float) -> bool:
        """Whether one fold is all that there is time for."""
        return first * len(self._folds) + 2 * self._refit(first) > self._budget.left - self._fixed()

    def _of_fold(self, place: int, fold: Fold) -> tuple[Learnt, Floats]:
        if place not in self._learnt:
            part = self.frame.take(fold.fit)
            learnt = learnt_of(part, self._classes, self._settings.seed)
            held = learnt.made.extended(self.frame.X[fold.valid])
            cells = len(self._folds) * learnt.matrix.size
            if cells > KEPT_CELLS_MAX:
                return learnt, held
            self._learnt[place] = learnt, held
        return self._learnt[place]

    def _fitted(self, recipe: Recipe, learnt: Learnt, held: Floats, fold: Fold, clock: Clock) -> FittedMember:
        y = self.frame.y
        return fit_member(
            recipe,
            self.problem,
            learnt,
            y[fold.fit],
            self._levels,
            self._settings.seed,
            valid=(held, y[fold.valid]),
            go_on=clock.go_on,
        )

    def _add(self, recipe: Recipe, parts: list[Part]) -> None:
        answers = np.concatenate([p.answers for p in parts])
        rounds, seconds = max(1, round(float(np.mean([p.rounds for p in parts])))), sum(p.seconds for p in parts)
        losses = row_losses(self.frame.task, self.problem.metric, self.truth, answers)
        value = float(losses.mean())
        if not np.isfinite(value):
            return
        error = float(losses.std() / np.sqrt(len(losses)))
        metrics = evaluate(self.frame.task, self.truth, answers)
        self.tried.append(Tried(recipe, answers, rounds, seconds, value, error, metrics))
        best = min(self.tried, key=lambda t: t.value)
        budget = f" of {self._budget.seconds:.0f} s" if self._budget.seconds else ""
        name = self.problem.metric
        log.info(
            "%.0f s%s: %d candidates, best %s %.4g",
            *(self._budget.spent, budget, len(self.tried), name, best.metrics.get(name, best.value)),
        )

    @property
    def truth(self) -> Floats:
        return np.concatenate([self.frame.y[fold.valid] for fold in self._folds])

    # -- the end ---------------------------------------------------------------------------------------------

    def _blended(self) -> tuple[list[tuple[int, float]], float]:
        answers = [t.answers for t in self.tried]
        if self._settings.mode == "light":
            best = min(range(len(answers)), key=lambda i: self.tried[i].value)
            return [(best, 1.0)], self.tried[best].value
        chosen = blending.selected(self.frame.task, self.problem.metric, self.truth, answers)
        mixed = blending.mixed(answers, chosen)
        return chosen, float(row_losses(self.frame.task, self.problem.metric, self.truth, mixed).mean())

    def _finish(self) -> Outcome:
        chosen, _ = self._blended()
        while len(chosen) > 1 and self._refits([i for i, _ in chosen]) > self._budget.left:
            kept = sum(weight for _, weight in chosen[:-1])
            chosen = [(i, weight / kept) for i, weight in chosen[:-1]]
        work = Fitting(self._whole, self.problem, self._settings.seed)
        why, row_us = self._why(chosen), 0.0
        while True:
            plan, answers = self._planned(chosen)
            package = work.package(plan)
            row_us = microseconds_a_row(package, self._whole)
            if self._settings.max_latency_us is None or row_us <= self._settings.max_latency_us:
                break
            if len(chosen) == 1:
                why += f"; max_latency_us={self._settings.max_latency_us} is not reached: one row takes {row_us:.0f}"
                break
            kept = sum(weight for _, weight in chosen[:-1])
            chosen = [(i, weight / kept) for i, weight in chosen[:-1]]
            why = f"{self._why(chosen)}, as many as max_latency_us={self._settings.max_latency_us} allows"
        losses = row_losses(self.frame.task, self.problem.metric, self.truth, answers)
        blend = evaluate(self.frame.task, self.truth, answers)
        error = float(losses.std() / np.sqrt(len(losses)))
        return Outcome(package, plan, tuple(self.tried), dict(chosen), blend, error, why, row_us)

    def _planned(self, chosen: list[tuple[int, float]]) -> tuple[Plan, Floats]:
        """The plan of these members, and what they answer together to the validation rows."""
        mixed = blending.mixed([t.answers for t in self.tried], chosen)
        warm = blending.temperature(self.frame.task, self.truth, mixed)
        grown = (self._whole.rows / max(1, len(self._folds[0].fit))) ** 0.5
        members = tuple(self._member(i, weight, grown) for i, weight in chosen)
        recipes, seed = tuple(t.recipe for t in self.tried), self._settings.seed
        metric, log = self.problem.metric, self.problem.skewed
        plan = Plan(recipes, chosen[0][0], members[0].rounds, seed, metric, members, warm, log)
        return plan, tempered(mixed, warm)

    def _member(self, place: int, weight: float, grown: float) -> Member:
        tried = self.tried[place]
        rounds = round(tried.rounds * min(1.25, grown)) if tried.recipe.kind == "trees" else tried.rounds
        return Member(place, weight, max(1, rounds))

    def _why(self, chosen: list[tuple[int, float]]) -> str:
        rows = len(self.truth)
        over = f"{rows} rows of {len(self._folds)} validation {'parts' if len(self._folds) > 1 else 'part'}"
        if not self._folds[0].ahead and by_instants(self.frame):
            over += " at random, because no window of time has enough rows of both classes and groups to judge on"
        if len(chosen) == 1:
            return f"the best of {len(self.tried)} candidates on {over}"
        return f"{len(chosen)} of {len(self.tried)} candidates, whose weighted mean is best on {over}"


def changed(recipe: Recipe, random: np.random.Generator) -> Recipe:
    """The trees of a recipe with some of their parameters moved."""
    own = dict(recipe.parameters)
    for name, spread, low, high in SCALED:
        moved = float(np.clip(float(own.get(name, 1.0)) * np.exp(random.normal(0, spread)), low, high))
        own[name] = round(moved) if name in ("num_leaves", "min_data_in_leaf") else round(moved, 4)
    for name, low in (("feature_fraction", 0.2), ("bagging_fraction", 0.5)):
        own[name] = round(float(np.clip(float(own.get(name, 1)) + random.normal(0, 0.2), low, 1)), 3)
    own["bagging_freq"] = 1
    if random.random() < 0.3:
        own["encoded"] = 1 - int(own.get("encoded", 1))
    if random.random() < 0.2:
        own["extra_trees"] = 1 - int(own.get("extra_trees", 0))
    return Recipe("trees", parameters=own)


def cost_of(recipe: Recipe) -> float:
    """What a fit should cost, in that of the first trees."""
    if recipe.kind != "trees":
        return COSTS[recipe.kind]
    own = {k: float(v) for k, v in recipe.parameters.items()}
    size, rounds = (own["num_leaves"] / 31) ** 0.6, (0.1 / own["learning_rate"]) ** 0.7
    return size * rounds * (0.4 + 0.6 * own.get("feature_fraction", 1.0)) * (1.3 if own.get("encoded", 1) else 1.0)


def levels_of(frame: Frame) -> list[int]:
    """How many levels each column of the matrix has; 0 for numbers and words."""
    return [len(c.categories) if c.datatype == "BYTES" and not c.terms else 0 for c in frame.signature.owners]


def learnt_of(frame: Frame, classes: int, seed: int) -> Learnt:
    folds = inner_folds(frame, seed)
    return learn(frame.X, frame.y, frame.signature.owners, frame.task, classes, folds, topics=True)


class Fitting:
    """Members fitted once on all rows of a frame; the packages of plans that share members share the work."""

    def __init__(self, frame: Frame, problem: Problem, seed: int) -> None:
        self._frame, self._problem, self._seed = frame, problem, seed
        self._learnt, self._levels = learnt_of(frame, len(frame.signature.classes), seed), levels_of(frame)
        self._made: dict[tuple[int, int], FittedMember] = {}

    def _member(self, plan: Plan, member: Member) -> FittedMember:
        key = member.candidate, member.rounds
        if key not in self._made:
            recipe, y = plan.candidates[member.candidate], self._frame.y
            self._made[key] = fit_member(
                recipe, self._problem, self._learnt, y, self._levels, self._seed, rounds=member.rounds
            )
        return self._made[key]

    def package(self, plan: Plan) -> Package:
        files: dict[str, bytes] = {}
        said, gains = [], np.zeros(self._learnt.matrix.shape[1])
        for place, member in enumerate(plan.members):
            made = self._member(plan, member)
            name = f"member{place}.{'txt' if made.said.kind == 'trees' else 'json'}"
            files[name] = made.content
            said.append(replace(made.said, file=name, weight=member.weight))
            told = np.nan_to_num(made.gains, posinf=GAIN_MAX)
            gains += member.weight * told / (float(told.sum()) or 1.0)
        used = self._learnt.made
        for name, matrix in used.matrices.items():
            sink = io.BytesIO()
            np.save(sink, matrix, allow_pickle=False)
            files[name] = sink.getvalue()
        assembly = Assembly(tuple(said), used.steps, plan.temperature, tuple(used.matrices))
        files["ensemble.json"] = orjson.dumps(to_body(assembly))
        shares = {c.name: 0.0 for c in self._frame.signature.inputs}
        for owner, gain in zip(self._learnt.owners, gains, strict=True):
            shares[owner] += float(gain)
        return Package("ensemble", self._frame.signature, files, {"importance": shares})


def assembled(frame: Frame, plan: Plan) -> Package:
    """The members of a plan, fitted once on all rows of the frame, as one package."""
    problem = problem_of(frame.y, frame.task, len(frame.signature.classes), plan.metric, plan.log)
    return Fitting(frame, problem, plan.seed).package(plan)


def microseconds_a_row(package: Package, frame: Frame) -> float:
    """What one row takes, encoded already: the lower quartile of some, for a machine that does other work too."""
    runtime, row = package.load(), frame.X[:1]
    took = []
    for _ in range(40):
        at = wall_seconds()
        runtime.score(row)
        took.append(wall_seconds() - at)
    return round(float(np.quantile(took, 0.25)) * 1e6, 1)


def constant_line(searching: Searching) -> tuple[float, dict[str, float]]:
    """What the best constant reaches on the validation rows: the last line of the leaderboard."""
    truth = searching.truth
    score = best_constant(searching.frame.task, truth, max(2, len(searching.frame.signature.classes)))
    metrics = evaluate(searching.frame.task, truth, score)
    return metrics[searching.problem.metric], metrics


def better_first(metric: str, values: Sequence[float]) -> NDArray[np.int64]:
    sign = -1.0 if HIGHER_IS_BETTER.get(metric) else 1.0
    return np.argsort([sign * v for v in values], kind="stable")


__all__ = ["Outcome", "Searching", "assembled", "better_first", "constant_line"]
