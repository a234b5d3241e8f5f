"""Asking the graph."""

from __future__ import annotations

from hanok.core.errors import NodeNotFound
from hanok.stores.ports import Repositories


def is_node(r: Repositories, node_id: str) -> bool:
    """Whether the graph knows the id. Clients may name runs of another server; those get no edge."""
    if not node_id:
        return False
    try:
        r.lineage.node(node_id)
    except NodeNotFound:
        return False
    return True
