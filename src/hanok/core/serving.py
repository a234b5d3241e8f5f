"""Deployments and signatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

Cell: TypeAlias = str | int | float | bool | datetime | None
Entity: TypeAlias = Mapping[str, Cell]
Mode = Literal["primary", "canary", "shadow"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One version behind a deployment. `share` is the percentage of requests it answers; a shadow answers none."""

    version: int
    mode: Mode
    share: int = 0


@dataclass(frozen=True, slots=True)
class Deployment:
    """What serves under a name. Every change is a new generation with who, when and why."""

    name: str
    generation: int
    arms: tuple[Arm, ...]
    at: datetime
    actor: str
    reason: str
    node_id: str = ""

    @property
    def primary(self) -> int:
        """The version that answers by default."""
        return next(arm.version for arm in self.arms if arm.mode == "primary")


@dataclass(frozen=True, slots=True)
class Column:
    """One input of a model. `datatype` is Open Inference Protocol's: FP64, INT64, BOOL or BYTES (UTF-8 text).

    Text is either a category, one of `categories`, or free text, of which the model sees how often each of `terms`
    occurs and how long it is.
    """

    name: str
    datatype: str
    categories: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()

    @property
    def matrix_columns(self) -> tuple[str, ...]:
        """The names of the numbers that a model sees of this input."""
        return (*(f"{self.name}~{term}" for term in self.terms), f"{self.name}~words") if self.terms else (self.name,)


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a model. `width` is the length of a row's list of values; None: one value for each row."""

    name: str
    datatype: str
    width: int | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives."""

    inputs: tuple[Column, ...]
    task: str
    classes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Columns of the matrix that the model sees."""
        return sum(len(c.terms) + 1 if c.terms else 1 for c in self.inputs)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What a runtime of this signature gives: `predict`, and for classes `label`."""
        if self.task == "regression":
            return (Output("predict", "FP64"),)
        wide = len(self.classes) if self.task == "multiclass" else None
        return Output("predict", "FP64", wide), Output("label", "BYTES")

    @property
    def owners(self) -> tuple[Column, ...]:
        """For each column of the matrix, the input that it comes from."""
        return tuple(c for c in self.inputs for _ in c.matrix_columns)

    def by_input(self, weights: Iterable[float]) -> dict[str, float]:
        """Weights of the matrix's columns, summed for each input."""
        sums = {c.name: 0.0 for c in self.inputs}
        for column, weight in zip(self.owners, weights, strict=True):
            sums[column.name] += float(weight)
        return sums

    def as_dict(self) -> dict[str, Any]:
        return {
            "inputs": [
                {"name": c.name, "datatype": c.datatype}
                | ({"categories": list(c.categories)} if c.categories else {})
                | ({"terms": list(c.terms)} if c.terms else {})
                for c in self.inputs
            ],
            "task": self.task,
            "classes": list(self.classes),
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Signature:
        inputs = tuple(
            Column(c["name"], c["datatype"], tuple(c.get("categories", ())), tuple(c.get("terms", ())))
            for c in body["inputs"]
        )
        return cls(inputs, body["task"], tuple(body.get("classes", ())))


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer, as it was logged. `row_id` of a shadow is the id of the answer it stands beside.

    `features` are what its version saw, as they came. `error` says why there is no score, or none that is finite.
    """

    id: str
    deployment: str
    version: int
    at: datetime
    arm: str
    features: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None
    scores: tuple[float, ...] = ()
    entity: Mapping[str, Any] = field(default_factory=dict)
    batch: str = ""
    row_id: str = ""
    error: str = ""
