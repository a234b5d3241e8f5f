"""Nodes, edges and the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text

from hanok.core.clock import micros
from hanok.core.errors import NodeNotFound
from hanok.core.lineage import Edge, EdgeKind, Event, Graph, Node, NodeKind
from hanok.stores.sql.rows import at, document, from_json, instant, moment

_ADD_NODE = text(
    "INSERT INTO node (id, kind, name, created, facts) VALUES (:id, :kind, :name, :created, :facts) "
    "ON CONFLICT (id) DO NOTHING"
)
_ADD_EDGE = text("INSERT INTO edge (source, kind, target) VALUES (:source, :kind, :target) ON CONFLICT DO NOTHING")
_NODES = text("SELECT id, kind, name, created, facts, deleted FROM node WHERE id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)
# index: node_kind_name / node_kind_created
_FIND = (
    "SELECT id, kind, name, created, facts, deleted FROM node WHERE kind = :kind {name} "
    "ORDER BY created DESC, id DESC LIMIT :limit"
)
# index: primary key of edge, edge_target
_OUT = text("SELECT source, kind, target FROM edge WHERE source IN :ids").bindparams(bindparam("ids", expanding=True))
_IN = text("SELECT source, kind, target FROM edge WHERE target IN :ids").bindparams(bindparam("ids", expanding=True))

AT_ONCE = 500  # ids in one statement: databases take some thousands


class SqlLineage:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, nodes: Sequence[Node], edges: Sequence[Edge] = ()) -> None:
        if nodes:
            self._c.execute(
                _ADD_NODE,
                [
                    {
                        "id": n.id,
                        "kind": n.kind.value,
                        "name": n.name,
                        "created": micros(n.created),
                        "facts": document(n.facts),
                    }
                    for n in nodes
                ],
            )
        if edges:
            self._c.execute(_ADD_EDGE, [{"source": e.source, "kind": e.kind.value, "target": e.target} for e in edges])

    def node(self, node_id: str) -> Node:
        nodes = self._load([node_id])
        if not nodes:
            raise NodeNotFound(f"nothing in the lineage graph has the id {node_id[:80]!r}")
        return nodes[0]

    def find(self, kind: NodeKind, name: str | None = None, *, limit: int = 100) -> list[Node]:
        query = text(_FIND.format(name="" if name is None else "AND name = :name"))
        values = {"kind": kind.value, "limit": limit} | ({} if name is None else {"name": name})
        return [_node(row) for row in self._c.execute(query, values)]

    def walk(self, node_id: str, *, depth: int = 20) -> Graph:
        self.node(node_id)
        seen, edges = {node_id}, dict[Edge, None]()
        for query, end in ((_OUT, 2), (_IN, 0)):  # what it came from, then what came from it
            frontier, steps = {node_id}, 0
            while frontier and steps < depth:
                ids, steps = sorted(frontier), steps + 1
                parts = (ids[i : i + AT_ONCE] for i in range(0, len(ids), AT_ONCE))
                rows = [row for part in parts for row in self._c.execute(query, {"ids": part})]
                edges.update(dict.fromkeys(_edge(row) for row in rows))
                frontier = {row[end] for row in rows} - seen
                seen |= frontier
        return Graph(tuple(self._load(sorted(seen))), tuple(edges))

    def neighbours(self, node_id: str) -> Graph:
        edges = dict.fromkeys(_edge(row) for query in (_OUT, _IN) for row in self._c.execute(query, {"ids": [node_id]}))
        ids = {node_id} | {e.source for e in edges} | {e.target for e in edges}
        return Graph(tuple(self._load(sorted(ids))), tuple(edges))

    def tombstone(self, node_id: str, at: datetime | None) -> None:
        self._c.execute(text("UPDATE node SET deleted = :at WHERE id = :id"), {"at": instant(at), "id": node_id})

    def _load(self, ids: list[str]) -> list[Node]:
        found: list[Node] = []
        for start in range(0, len(ids), AT_ONCE):
            found += [_node(row) for row in self._c.execute(_NODES, {"ids": ids[start : start + AT_ONCE]})]
        return found


def _node(row: Any) -> Node:
    return Node(row[0], NodeKind(row[1]), row[2], at(row[3]), from_json(row[4]), moment(row[5]))


def _edge(row: Any) -> Edge:
    return Edge(row[0], EdgeKind(row[1]), row[2])


class SqlOutbox:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def append(self, event: Event) -> None:
        self._c.execute(
            text("INSERT INTO event (kind, subject, at, facts) VALUES (:kind, :subject, :at, :facts)"),
            {"kind": event.kind, "subject": event.subject, "at": micros(event.at), "facts": document(event.facts)},
        )

    def after(self, sequence: int, *, limit: int = 100) -> list[Event]:
        rows = self._c.execute(
            text("SELECT sequence, kind, subject, at, facts FROM event WHERE sequence > :s ORDER BY sequence LIMIT :n"),
            {"s": sequence, "n": limit},
        )
        return [Event(row[1], row[2], at(row[3]), from_json(row[4]), row[0]) for row in rows]

    def cursor(self, reaction: str) -> int:
        return self._c.execute(text("SELECT sequence FROM cursor WHERE reaction = :r"), {"r": reaction}).scalar() or 0

    def advance(self, reaction: str, sequence: int) -> None:
        self._c.execute(
            text(
                "INSERT INTO cursor (reaction, sequence) VALUES (:r, :s) "
                "ON CONFLICT (reaction) DO UPDATE SET sequence = excluded.sequence "
                "WHERE excluded.sequence > cursor.sequence"
            ),
            {"r": reaction, "s": sequence},
        )
