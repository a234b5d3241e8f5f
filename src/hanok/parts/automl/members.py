"""The members of an ensemble: how a recipe is fitted, with validation rows or for a known number of rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hanok.compute.feature_steps import Floats
from hanok.compute.metrics import row_losses
from hanok.compute.runtimes.ensemble import MemberFile, member_of
from hanok.compute.runtimes.growing import Booster, Rows, settings_text, until_it_stops
from hanok.core.errors import NotTrainable
from hanok.core.training import Number, Recipe
from hanok.parts.automl.solving import NetInTraining, Shape, design_of, linear, shape_of
from hanok.parts.automl.steps import Learnt

ROUNDS_MAX, PATIENCE = 2_000, 50
EPOCHS_MAX, EPOCH_PATIENCE = 60, 6
NATIVE_MAX = 64  # levels that a tree is given as they are
LINEAR_COLUMNS_MAX = 6_000
MANY_ROWS = 100_000  # from here a second thread gives more than it costs
GoOn = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is learnt: the task, how many classes, the range of a number, whether its logarithm is better behaved.
    `floor` is the smallest label above 0: as that a logarithm learns what lies at 0 or below."""

    task: str
    classes: int
    metric: str
    low: float = 0.0
    high: float = 0.0
    skewed: bool = False
    floor: float = 0.0

    def loss(self, y: Floats, score: Floats) -> float:
        return float(row_losses(self.task, self.metric, y, score).mean())


def problem_of(y: Floats, task: str, classes: int, metric: str, log: bool | None = None) -> Problem:
    """`log` is what a plan says of the logarithm; without it these labels tell. Raises NotTrainable where a plan asks
    for the logarithm of labels of which none is above 0."""
    if task != "regression":
        return Problem(task, classes, metric)
    low, high = float(y.min()), float(y.max())
    if log is None:
        spread = float(y.std()) or 1.0
        log = low > 0 and float((((y - y.mean()) / spread) ** 3).mean()) > 1
    if log and high <= 0:
        raise NotTrainable(
            f"the plan learns the logarithm of the label, and none of the {len(y)} labels is above 0: "
            "what the label means has changed, so search anew"
        )
    return Problem(task, classes, metric, low, high, log, float(y[y > 0].min()) if log else 0.0)


@dataclass(frozen=True, slots=True)
class FittedMember:
    said: MemberFile
    content: bytes
    rounds: int
    gains: Floats  # of each column of the extended matrix
    answers: Floats  # to the validation rows; empty without them


def columns_of(recipe: Recipe, learnt: Learnt, levels: list[int]) -> list[int]:
    """The columns of the extended matrix that a recipe takes. Trees of `encoded` columns leave out long categories,
    other trees what was made of labels; what is linear leaves out the counts of words where there are topics."""
    base, width = len(levels), learnt.matrix.shape[1]
    encoded = bool(recipe.parameters.get("encoded", 1))
    if recipe.kind == "trees":
        if not encoded:
            return list(range(base))
        return [i for i in range(width) if i not in learnt.categories or levels[i] <= NATIVE_MAX]
    if recipe.kind == "linear" and width <= LINEAR_COLUMNS_MAX:
        return list(range(width))
    return [i for i in range(width) if i not in learnt.terms]


def fit_member(
    recipe: Recipe,
    problem: Problem,
    learnt: Learnt,
    y: Floats,
    levels: list[int],
    seed: int,
    *,
    rounds: int = 0,
    valid: tuple[Floats, Floats] | None = None,
    go_on: GoOn = lambda: True,
) -> FittedMember:
    """Fitted for `rounds`, or until it is no better on the `valid` rows (extended matrix, labels)."""
    columns = columns_of(recipe, learnt, levels)
    log = bool(recipe.parameters.get("log", 0)) and problem.skewed
    low, high = _bounds(problem)
    said = MemberFile(recipe.kind, "", tuple(columns), 1.0, log=log, low=low, high=high)
    taken = np.ascontiguousarray(learnt.matrix[:, columns])
    held = (np.ascontiguousarray(valid[0][:, columns]), valid[1]) if valid is not None else None
    target = np.log(np.maximum(y, problem.floor)) if log else y
    work = _Work(recipe, problem, said, taken, target, held, seed, rounds, go_on)
    gains = np.zeros(learnt.matrix.shape[1])
    gains[columns] = 1 / max(1, len(columns))
    answers = np.empty(0)
    if recipe.kind == "trees":
        categories = [j for j, i in enumerate(columns) if i in learnt.categories]
        made, kept, answers, gains[columns] = _trees(work, categories)
    else:
        shape = shape_of(learnt.matrix, columns, list(learnt.categories))
        if recipe.kind == "linear":
            strength = recipe.strength or 1.0
            made, kept = linear(taken, work.target, shape, problem.task, problem.classes, strength), 1
        else:
            made, kept = _net(work, shape)
        if valid is not None:
            answers = member_of(said, made)(valid[0])
    return FittedMember(said, made, kept, gains, answers)


@dataclass(frozen=True, slots=True)
class _Work:
    """One fit: its columns, the target as it is learnt (perhaps a logarithm), and where it is judged."""

    recipe: Recipe
    problem: Problem
    said: MemberFile
    x: Floats
    target: Floats
    held: tuple[Floats, Floats] | None
    seed: int
    rounds: int
    go_on: GoOn

    def final(self, raw: Floats) -> Floats:
        found = np.exp(np.clip(raw, -700, 700)) if self.said.log else raw
        return found if self.said.low is None else np.clip(found, self.said.low, self.said.high)


def _bounds(problem: Problem) -> tuple[float | None, float | None]:
    if problem.task != "regression":
        return None, None
    room = 0.05 * (problem.high - problem.low)
    return problem.low - (0.0 if problem.skewed else room), problem.high + room


def _trees(work: _Work, categories: list[int]) -> tuple[bytes, int, Floats, Floats]:
    problem, width = work.problem, work.x.shape[1]
    outputs = problem.classes if problem.task == "multiclass" else 1
    settings = settings_text(_settings(work.recipe.parameters, problem, work.seed, len(work.x)), categories)
    rows = Rows(work.x, work.target, settings)
    if work.held is None:
        booster = Booster(rows, settings, outputs)
        for _ in range(max(1, work.rounds)):
            if not booster.grow():
                break
        return booster.text(work.rounds), work.rounds, np.empty(0), booster.gains(work.rounds, width)
    x, y = work.held
    booster = Booster(rows, settings, outputs, Rows(x, y, settings, rows))
    kept, said = until_it_stops(booster, lambda raw: problem.loss(y, work.final(raw)), ROUNDS_MAX, PATIENCE, work.go_on)
    return booster.text(kept), kept, work.final(said), booster.gains(kept, width)


def _settings(parameters: Mapping[str, Number], problem: Problem, seed: int, rows: int) -> dict[str, str | Number]:
    objective: dict[str, str | Number] = {"objective": "regression"}
    if problem.task == "binary":
        objective = {"objective": "binary"}
    elif problem.task == "multiclass":
        objective = {"objective": "multiclass", "num_class": problem.classes}
    if problem.task == "regression" and problem.metric == "mae":
        objective = {"objective": "regression_l1"}
    own: dict[str, str | Number] = {k: v for k, v in parameters.items() if k not in ("encoded", "log", "extra_trees")}
    if parameters.get("extra_trees"):
        own["extra_trees"] = "true"
    return {
        **objective,
        **own,
        "metric": "none",
        "seed": seed,
        "deterministic": "true",
        "force_row_wise": "true",
        "num_threads": 2 if rows >= MANY_ROWS else 1,
        "verbosity": -1,
        "max_cat_to_onehot": 8,
        "cat_smooth": 20,
    }


def _net(work: _Work, shape: Shape) -> tuple[bytes, int]:
    net = NetInTraining(work.x, work.target, shape, work.problem.task, work.problem.classes, work.seed)
    if work.held is None:
        for _ in range(max(1, work.rounds)):
            net.epoch()
        return net.content(), work.rounds
    design, y = design_of(work.held[0], shape), work.held[1]
    best, kept, content = float("inf"), 1, b""
    for number in range(1, EPOCHS_MAX + 1):
        net.epoch()
        value = work.problem.loss(y, work.final(net.answers(design)))
        if value < best:
            best, kept, content = value, number, net.content()
        if number - kept >= EPOCH_PATIENCE or not work.go_on():
            break
    return content or net.content(), kept
