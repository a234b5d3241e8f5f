"""What a diagnosis would name of this very model, tried before it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hanok.core.records import Kind

THREE = 3
OPENS = {
    "input": "a range or check of the column: hanok check --suggest",
    "feed": "a check of the feed's keys and arrival: hanok check --suggest",
    "traffic": "more answers a day",
    "labels": "labels sooner, or more answers a day",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A fault that had lasted `days`, asked about on its last one, in the answers of `day`: on which `rank` it was
    named (0: not at all), what stood first, and by which share the loss rose (None: not known)."""

    day: str
    days: int
    rank: int
    first: str = ""
    worse: float | None = None


@dataclass(frozen=True, slots=True)
class RehearsedFault:
    """A fault that was put into copies of past answers. `harmful`: it changed loss or score, or what is known of
    them."""

    kind: str
    where: str
    strength: str
    place: str
    harmful: bool
    asked: tuple[Question, ...]

    @property
    def opens(self) -> str:
        """What would make it seen."""
        return OPENS.get(self.place, "")

    @property
    def named(self) -> bool:
        """Whether it was among the first three causes each time."""
        return all(0 < q.rank <= THREE for q in self.asked)

    @property
    def first(self) -> bool:
        """Whether it was the first cause each time."""
        return all(q.rank == 1 for q in self.asked)

    @property
    def unseen(self) -> bool:
        """Whether it was not among the first three once."""
        return not any(0 < q.rank <= THREE for q in self.asked)

    @property
    def times(self) -> str:
        """How often it was among the first three, in words."""
        return f"{sum(0 < q.rank <= THREE for q in self.asked)} of {len(self.asked)}"

    @property
    def harm(self) -> str:
        """By how much the loss rose, on the average of all questions; "" where that is not known."""
        known = [q.worse for q in self.asked if q.worse is not None]
        return f"{sum(known) / len(known):+.0%}" if known else ""


@dataclass(frozen=True, slots=True)
class QuietDay:
    """A day as it was, and what is named about it: nothing where nothing was wrong."""

    day: str
    named: str = ""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Faults in copies of the answers that `version` gave on some days, and the days as they were. `left` questions
    were not asked within the time."""

    model: str
    version: int
    made: datetime
    answers: int
    faults: tuple[RehearsedFault, ...]
    quiet: tuple[QuietDay, ...]
    left: int = 0

    @property
    def harmful(self) -> list[RehearsedFault]:
        return [f for f in self.faults if f.harmful]

    @property
    def sentence(self) -> str:
        """What would be named, in words."""
        hurt = self.harmful
        first, named = sum(f.first for f in hurt), sum(f.named for f in hurt)
        return (
            f"{self.model} version {self.version}: {len(self.faults)} faults were put into copies of {self.answers:,} "
            f"of its answers. Of the {len(hurt)} that do harm, {first} were named first each time, {named} among the "
            "first three."
        )

    @property
    def about_quiet_days(self) -> str:
        told = [f"{q.day}: {q.named}" for q in self.quiet if q.named]
        if not told:
            return f"About the {len(self.quiet)} days as they were nothing is named."
        return f"Of {len(self.quiet)} days as they were, something is named about {len(told)}: {'; '.join(told)}."

    @property
    def blind(self) -> list[RehearsedFault]:
        """Harmful faults that were not among the first three each time, those that never were first."""
        return sorted((f for f in self.harmful if not f.named), key=lambda f: not f.unseen)


@dataclass(frozen=True, slots=True)
class KindRehearsed:
    """The faults of one kind: how many were harmful, and how many of these were named first, and among three."""

    kind: str
    tried: int
    harmful: int
    first: int
    named: int


def by_kind(faults: Sequence[RehearsedFault]) -> list[KindRehearsed]:
    """In the order in which they were tried."""
    made = []
    for kind in dict.fromkeys(f.kind for f in faults):
        mine = [f for f in faults if f.kind == kind]
        hurt = [f for f in mine if f.harmful]
        made.append(KindRehearsed(kind, len(mine), len(hurt), sum(f.first for f in hurt), sum(f.named for f in hurt)))
    return made


REHEARSAL = Kind("rehearsal", Rehearsal, owner="model")
