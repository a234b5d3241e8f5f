"""The lineage graph, events, records and upkeep, as the present caller sees them."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime

from hanok.core.access import Access
from hanok.core.lineage import Edge, Event, Graph, Node, NodeKind
from hanok.core.records import needed_of
from hanok.parts.access.gate import Gate, Guarded
from hanok.stores.ports import Document, Lineage, Outbox, Records
from hanok.stores.ports_upkeep import TrackingUpkeep


def _seen(gate: Gate, graph: Graph) -> Graph:
    """The part of a graph that may be seen."""
    nodes = tuple(n for n in graph.nodes if gate.may_see(gate.node(n)))
    hidden = {n.id for n in graph.nodes} - {n.id for n in nodes}
    return Graph(nodes, tuple(e for e in graph.edges if e.source not in hidden and e.target not in hidden))


class GuardedLineage(Guarded[Lineage]):
    __slots__ = ()

    def add(self, nodes: Sequence[Node], edges: Sequence[Edge] = ()) -> None:
        self._inner.add(nodes, edges)

    def node(self, node_id: str) -> Node:
        node = self._inner.node(node_id)
        self._gate.see(self._gate.node(node))
        return node

    def find(self, kind: NodeKind, name: str | None = None, *, limit: int = 100) -> list[Node]:
        return [item for item in self._inner.find(kind, name, limit=limit) if self._gate.may_see(self._gate.node(item))]

    def walk(self, node_id: str, *, depth: int = 20) -> Graph:
        self._gate.see(self._gate.node(self._inner.node(node_id)))
        return _seen(self._gate, self._inner.walk(node_id, depth=depth))

    def neighbours(self, node_id: str) -> Graph:
        self._gate.see(self._gate.node(self._inner.node(node_id)))
        return _seen(self._gate, self._inner.neighbours(node_id))

    def tombstone(self, node_id: str, at: datetime | None) -> None:
        self._gate.change(self._gate.node(self._inner.node(node_id)))
        self._inner.tombstone(node_id, at)


class GuardedOutbox(Guarded[Outbox]):
    __slots__ = ()

    def append(self, event: Event) -> None:
        self._inner.append(event)

    def after(self, sequence: int, *, limit: int = 100) -> list[Event]:
        self._gate.everywhere(Access.READ)
        return self._inner.after(sequence, limit=limit)

    def cursor(self, reaction: str) -> int:
        self._gate.everywhere(Access.READ)
        return self._inner.cursor(reaction)

    def advance(self, reaction: str, sequence: int) -> None:
        self._gate.everywhere(Access.EDIT)
        self._inner.advance(reaction, sequence)


class GuardedRecords(Guarded[Records]):
    """A record belongs where the owner of its kind says; a kind without an owner is refused."""

    __slots__ = ()

    def put(self, kind: str, name: str, key: str, body: Document, at: datetime) -> None:
        self._gate.change(self._gate.record(kind, name), needed=needed_of(kind))
        self._inner.put(kind, name, key, body, at)

    def get(self, kind: str, name: str, key: str) -> Document | None:
        if not self._gate.may_see(self._gate.record(kind, name)):
            return None
        return self._inner.get(kind, name, key)

    def list(
        self, kind: str, name: str | None = None, *, since: datetime | None = None, limit: int = 1000
    ) -> builtins.list[Document]:
        return [
            item
            for item in self._inner.list(kind, name, since=since, limit=limit)
            if self._gate.may_see(self._gate.record(kind, item["_name"]))
        ]


class GuardedTrackingUpkeep(Guarded[TrackingUpkeep]):
    __slots__ = ()

    def deleted_runs(self, before: datetime) -> list[str]:
        self._gate.everywhere(Access.OWN)
        return self._inner.deleted_runs(before)

    def deleted_models(self, before: datetime) -> list[str]:
        self._gate.everywhere(Access.OWN)
        return self._inner.deleted_models(before)

    def contents(self, experiment_id: str) -> tuple[list[str], list[str]]:
        self._gate.everywhere(Access.OWN)
        return self._inner.contents(experiment_id)

    def purge_runs(self, run_ids: Sequence[str]) -> dict[str, int]:
        self._gate.everywhere(Access.OWN)
        return self._inner.purge_runs(run_ids)

    def purge_models(self, model_ids: Sequence[str]) -> dict[str, int]:
        self._gate.everywhere(Access.OWN)
        return self._inner.purge_models(model_ids)

    def purge_experiment(self, experiment_id: str) -> dict[str, int]:
        self._gate.everywhere(Access.OWN)
        return self._inner.purge_experiment(experiment_id)

    def move_runs(self, run_ids: Sequence[str], experiment_id: str) -> None:
        self._gate.change(*map(self._gate.run, run_ids), self._gate.experiment(experiment_id))
        self._inner.move_runs(run_ids, experiment_id)
        self._gate.directory.forget()
