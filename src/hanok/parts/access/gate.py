"""One caller in one transaction: what he may see, and what he may change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from hanok.core.access import Access, Call
from hanok.core.errors import (
    ArtifactNotFound,
    DatasetNotFound,
    ExperimentNotFound,
    Forbidden,
    HanokError,
    LoggedModelNotFound,
    ModelNotFound,
    NodeNotFound,
    RunNotFound,
    TraceNotFound,
)
from hanok.core.lineage import Node
from hanok.core.records import owner_of
from hanok.core.tracking import artifact_path
from hanok.parts.access.directory import Directory
from hanok.stores.ports import Repositories

R = TypeVar("R")


class Place(NamedTuple):
    """A thing and its project; None for what does not exist or belongs to none."""

    project: str | None
    kind: str
    id: str


class Gate:
    """`see` and `change` raise; what a caller may not see is answered as if it were not there."""

    __slots__ = ("actor", "call", "directory", "r")

    def __init__(self, r: Repositories, call: Call, directory: Directory) -> None:
        self.r, self.call, self.directory, self.actor = r, call, directory, call.actor

    def experiment(self, experiment_id: str) -> Place:
        return Place(self.directory.of(self.r, "experiment", experiment_id), "experiment", experiment_id)

    def run(self, run_id: str) -> Place:
        return Place(self.directory.of(self.r, "run", run_id), "run", run_id)

    def logged_model(self, model_id: str) -> Place:
        return Place(self.directory.of(self.r, "logged model", model_id), "logged model", model_id)

    def model(self, name: str) -> Place:
        return Place(self.directory.of(self.r, "model", name), "model", name)

    def trace(self, trace_id: str) -> Place:
        return Place(self.directory.of(self.r, "trace", trace_id), "trace", trace_id)

    def node(self, node: Node) -> Place:
        return Place(self.directory.node(self.r, node), "node", node.id)

    def record(self, kind: str, name: str) -> Place:
        """Where the records of a kind under a name belong. Raises Forbidden for a kind that has no owner."""
        owner = owner_of(kind)
        if owner is None:
            raise Forbidden(
                f"records of kind {kind!r} have no owner, so nobody's rights to them are known: "
                "declare the kind with hanok.core.records.Kind and its owner"
            )
        if owner == "run":
            return self.run(name)
        if owner == "home":
            return Place(None, "record", name)
        use, dashes, model = name.partition("--")  # a table "predictions--late" follows the model late
        if owner == "table":
            return self.model(model) if dashes else Place(None, "table", use)
        return self.model(model if dashes else name)

    def path(self, path: str) -> list[Place]:
        """A path belongs to each experiment that it overlaps with; outside of all, to whoever may act everywhere."""
        projects = self.directory.path(self.r, path)
        return [Place(project, "artifact", path) for project in sorted(projects if projects is not None else {"*"})]

    def may_see(self, place: Place) -> bool:
        return place.project is None or self.actor.access_in(place.project) >= Access.READ

    def see(self, *places: Place) -> None:
        for place in places:
            if not self.may_see(place):
                raise _missing(place)

    def change(self, *places: Place, needed: Access = Access.EDIT) -> None:
        """Raises what `see` raises, or Forbidden."""
        for place in places:
            if place.project is None:
                continue
            held = self.actor.access_in(place.project)
            if held < Access.READ:
                raise _missing(place)
            self.call.touched.append((place.project, f"{place.kind} {place.id}"))
            if held < needed:
                raise Forbidden(
                    f"{self.actor.name} may {held.name.lower()} in project {place.project!r}; "
                    f"this needs {needed.name.lower()}"
                )

    def land(self, project: str, kind: str, name: str) -> None:
        """Make something new in a project. Raises Forbidden."""
        if self.actor.access_in(project) < Access.EDIT:
            raise Forbidden(
                f"{self.actor.name} may not edit project {project!r}, where {kind} {name[:80]!r} would be made: ask an "
                f"owner for a role there, or give it the tag hanok.project with a project of yours"
            )
        self.call.touched.append((project, f"{kind} {name}"))

    def may_keep_artifacts_at(self, location: str) -> None:
        """Raises Forbidden: a place inside the artifacts of another project would open them."""
        self.directory.forget()
        inside = artifact_path(location)
        if inside is None:
            self.everywhere(Access.EDIT)
        else:
            self.change(*self.path(inside))

    def everywhere(self, needed: Access) -> None:
        if self.actor.access_everywhere < needed:
            raise Forbidden(f"this needs the right to {needed.name.lower()} in all projects")

    def seen_experiments(self, ids: Iterable[str]) -> list[str]:
        return [i for i in ids if self.may_see(self.experiment(i))]


class Guarded(Generic[R]):
    """A repository as one caller sees it: the methods of its port, each with its rule."""

    __slots__ = ("_gate", "_inner")

    def __init__(self, gate: Gate, inner: R) -> None:
        self._gate, self._inner = gate, inner


def _missing(place: Place) -> HanokError:
    """The store's own words for what is not there, so that nobody learns what there is."""
    shown = place.id[:80]
    if place.kind == "experiment":
        return ExperimentNotFound(f"there is no experiment with id {shown!r}; see: hanok run list")
    if place.kind == "run":
        return RunNotFound(f"there is no run with id {shown!r}; list them: hanok run list", run=place.id)
    if place.kind == "logged model":
        return LoggedModelNotFound(f"logged model with id {shown!r} is not found")
    if place.kind == "trace":
        return TraceNotFound(f"there is no trace {shown!r}")
    if place.kind == "evaluation dataset":
        return DatasetNotFound(f"evaluation dataset with id {shown!r} is not found")
    if place.kind == "model":
        return ModelNotFound(f"Registered Model with name={place.id[:120]} not found; see: hanok model list")
    if place.kind == "artifact":
        return ArtifactNotFound(f"there is no artifact file at {place.id[:200]!r}")
    return NodeNotFound(f"nothing in the lineage graph has the id {shown!r}")
