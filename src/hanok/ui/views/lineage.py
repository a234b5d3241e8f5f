"""Lineage: a graph around one node, its facts; and the newest nodes of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hanok.core.errors import HanokError, Invalid
from hanok.core.lineage import Node, NodeKind
from hanok.ui.graph import Drawing, arrange
from hanok.ui.views.common import Ask, href
from hanok.ui.views.neighbours import Neighbour, neighbours

if TYPE_CHECKING:
    from hanok.engine.app import App

DEPTH, NODES_MAX = 3, 3000


@dataclass(frozen=True, slots=True)
class NodeLine:
    id: str
    kind: str
    name: str
    created: datetime


@dataclass(frozen=True, slots=True)
class LineageIndex:
    now: datetime
    kind: str
    kinds: tuple[str, ...]
    groups: Mapping[str, tuple[NodeLine, ...]]


@dataclass(frozen=True, slots=True)
class LineagePage:
    now: datetime
    id: str
    kind: str
    name: str
    created: datetime
    deleted: datetime | None
    href: str
    depth: int
    facts: Mapping[str, Any]
    nodes: int
    drawing: Drawing
    neighbours: tuple[Neighbour, ...]


def index(app: App, ask: Ask) -> LineageIndex:
    """The newest nodes of each kind; with `kind` in the URL more of that one. Raises Invalid."""
    kinds = tuple(k.value for k in NodeKind)
    kind = ask.text("kind")
    if kind and kind not in kinds:
        raise Invalid(f"kind={kind[:40]!r} is none of {', '.join(kinds)}")
    wanted, limit = ([NodeKind(kind)], 200) if kind else (list(NodeKind), 5)
    found = {k.value: app.metadata.read(lambda r, k=k: r.lineage.find(k, limit=limit)) for k in wanted}  # type: ignore[misc]
    groups = {k: tuple(_line(n) for n in nodes) for k, nodes in found.items() if nodes}
    return LineageIndex(app.clock.now(), kind, kinds, groups)


def graph_page(app: App, ask: Ask) -> LineagePage:
    """Around a node: by its id, or a model version as name@3 or name/3. Raises NodeNotFound."""
    node_id = _resolved(app, ask.path["node"])
    depth = ask.number("depth", DEPTH, low=1, high=12)
    graph = app.metadata.read(lambda r: r.lineage.walk(node_id, depth=depth))
    focus = next(n for n in graph.nodes if n.id == node_id)
    nodes = _newest(graph.nodes, node_id)
    own = href(focus.kind.value, focus.name, focus.facts, focus.id)
    return LineagePage(
        app.clock.now(),
        focus.id,
        focus.kind.value,
        focus.name,
        focus.created,
        focus.deleted,
        "" if own.startswith("/lineage/") else own,
        depth,
        focus.facts,
        len(graph.nodes),
        arrange(nodes, graph.edges, node_id),
        neighbours(app, node_id),
    )


def _resolved(app: App, text: str) -> str:
    name, _, version = text.replace("/", "@").rpartition("@")
    if name and version.removeprefix("v").isdecimal():
        try:
            return app.tracking.registry.version(name, int(version.removeprefix("v"))).id
        except HanokError:
            return text
    return text


def _newest(nodes: tuple[Node, ...], focus: str) -> tuple[Node, ...]:
    """A graph too big to lay out keeps its newest nodes and the one it is about."""
    if len(nodes) <= NODES_MAX:
        return nodes
    newest = sorted(nodes, key=lambda n: n.created, reverse=True)[:NODES_MAX]
    return (*(n for n in newest if n.id != focus), *(n for n in nodes if n.id == focus))


def _line(node: Node) -> NodeLine:
    return NodeLine(node.id, node.kind.value, node.name, node.created)
