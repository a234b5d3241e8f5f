"""What a node read and what came of it, one edge away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from hanok.core.errors import NodeNotFound
from hanok.ui.views.common import href

if TYPE_CHECKING:
    from hanok.engine.app import App

SHOWN = 40


@dataclass(frozen=True, slots=True)
class Neighbour:
    """`edge` reads from this node to the other ("wrote"), or with `inward` from the other to this one."""

    edge: str
    inward: bool
    id: str
    kind: str
    name: str
    created: datetime
    href: str


def neighbours(app: App, node: str) -> tuple[Neighbour, ...]:
    """The newest neighbours of a node; none for what is not in the graph."""
    try:
        graph = app.metadata.read(lambda r: r.lineage.neighbours(node))
    except NodeNotFound:
        return ()
    nodes = {n.id: n for n in graph.nodes}
    found = []
    for edge in graph.edges:
        other = nodes.get(edge.source if edge.target == node else edge.target)
        if other is not None and other.id != node:
            link = href(other.kind.value, other.name, other.facts, other.id)
            found.append(
                Neighbour(
                    edge.kind.value, edge.target == node, other.id, other.kind.value, other.name, other.created, link
                )
            )
    return tuple(sorted(found, key=lambda n: (n.created, n.id), reverse=True)[:SHOWN])
