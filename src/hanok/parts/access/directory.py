"""Which project a thing belongs to, remembered: experiments and models say so, the rest follows them."""

from __future__ import annotations

from hanok.core.access import Bound
from hanok.core.lineage import Node, NodeKind
from hanok.core.tracking import artifact_path
from hanok.stores.ports import Repositories

REMEMBERED_MAX = 200_000
_BY_ID: dict[NodeKind, Bound] = {
    NodeKind.RUN: "run",
    NodeKind.LOGGED_MODEL: "logged model",
    NodeKind.TRACE: "trace",
}


class Directory:
    """Answers from memory; `forget` after anything moved. Look-ups run in the caller's transaction."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._places: list[tuple[str, str]] | None = None

    def forget(self) -> None:
        self._known, self._places = {}, None

    def of(self, r: Repositories, kind: Bound, thing: str) -> str | None:
        known = self._known.get((kind, thing))
        if known is None:
            known = r.projects.of(kind, thing)
            if known is not None:
                if len(self._known) > REMEMBERED_MAX:
                    self._known.clear()
                self._known[kind, thing] = known
        return known

    def remembered_model(self, name: str) -> str | None:
        """Without a look at the store; None also for what is not remembered."""
        return self._known.get(("model", name))

    def path(self, r: Repositories, path: str) -> set[str] | None:
        """The projects of all experiments in whose place a path of the artifact tree lies, or that lie inside it; None
        for a path that belongs to no experiment."""
        found = set()
        first = path.partition("/")[0]
        of_number = self.of(r, "experiment", first) if first.isdigit() else None
        if of_number is not None:
            found.add(of_number)
        if self._places is None:
            located = ((artifact_path(location), project) for location, project in r.projects.own_places())
            self._places = [(place, project) for place, project in located if place is not None]
        slashed = path + "/"
        found |= {p for place, p in self._places if slashed.startswith(f"{place}/") or f"{place}/".startswith(slashed)}
        return found or None

    def node(self, r: Repositories, node: Node) -> str | None:
        """None for nodes that belong to no project: tables, feature views, code, environments."""
        if node.kind in _BY_ID:
            return self.of(r, _BY_ID[node.kind], node.id)
        if node.kind is NodeKind.STUDY:
            return self.of(r, "experiment", str(node.facts.get("experiment", "")))
        if node.kind is NodeKind.MODEL_VERSION:
            known = self.of(r, "version", node.id)
            return known if known is not None else self.of(r, "model", node.name.rpartition("/")[0])
        for name in _model_names(node):
            project = self.of(r, "model", name) if name else None
            if project is not None:
                return project
        return None


def _model_names(node: Node) -> list[str]:
    """What may be the name of the registered model that a node is about."""
    facts = [str(node.facts[key]) for key in ("model", "subject", "name") if isinstance(node.facts.get(key), str)]
    ends = {
        NodeKind.ALIAS_CHANGE: node.name.rpartition("@")[0],
        NodeKind.DEPLOYMENT: node.name.rpartition(" g")[0],
        NodeKind.MODEL: node.name.partition(" (declaration")[0],
        NodeKind.TRAINING_SET: node.name.partition(" until ")[0],
    }
    return [*facts, ends.get(node.kind, ""), node.name, node.name.partition(" ")[0], node.name.partition("/")[0]]
