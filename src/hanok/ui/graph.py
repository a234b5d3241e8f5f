"""Lineage drawn in layers: what something came from on the left, what came from it on the right.

Layers are longest paths (Sugiyama's first step), order within a layer is by barycentres; long fans of equal kind are
collapsed into one box. Own code, so that the page needs no library and no script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import escape

from hanok.core.lineage import Edge, EdgeKind, Node
from hanok.ui.svg import Svg
from hanok.ui.text import segment
from hanok.ui.views.common import href

FORWARD = {EdgeKind.WROTE, EdgeKind.DEPLOYED_AS}
FAN_MAX, FAN_KEPT = 5, 3
BOX_W, BOX_H, GAP_X, GAP_Y, PAD = 168, 42, 40, 14, 12
_GROUPS = {
    "data": "source_snapshot feature_view feature_service training_set dataset label_batch check_result",
    "make": "code environment run model logged_model",
    "model": "model_version",
    "serve": "deployment prediction_batch alias_change",
    "watch": "drift_report alert decision",
}
GROUPS = {kind: group for group, kinds in _GROUPS.items() for kind in kinds.split()}


@dataclass(frozen=True, slots=True)
class Box:
    """A node, or `more` nodes of one kind that are not drawn one by one."""

    id: str
    kind: str
    name: str
    href: str
    layer: int
    focus: bool = False
    more: int = 0


@dataclass(frozen=True, slots=True)
class Arrow:
    """In the direction in which things came about: from what was read to what was made of it."""

    start: str
    end: str
    kind: str


@dataclass(frozen=True, slots=True)
class Drawing:
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def arrange(nodes: Sequence[Node], edges: Sequence[Edge], focus: str) -> Drawing:
    """Boxes in layers, in the order in which they are drawn from the top."""
    known = {n.id: n for n in nodes}
    flow = [
        (e.source, e.target, e.kind.value) if e.kind in FORWARD else (e.target, e.source, e.kind.value)
        for e in edges
        if e.source in known and e.target in known and e.source != e.target
    ]
    layers = _layers(list(known), [(a, b) for a, b, _ in flow])
    stands = _collapse(known, flow, layers, focus)
    boxes = {}
    for key in dict.fromkeys(stands.values()):
        members = [known[i] for i, k in stands.items() if k == key]
        boxes[key] = _box(key, members, layers[members[0].id], focus)
    arrows = tuple(dict.fromkeys(Arrow(stands[a], stands[b], k) for a, b, k in flow if stands[a] != stands[b]))
    order = _ordered(list(boxes.values()), arrows)
    return Drawing(tuple(order), arrows)


def draw(drawing: Drawing, *, title: str) -> Svg:
    """The drawing as SVG; each box is a link."""
    rows: dict[int, list[Box]] = {}
    for box in drawing.boxes:
        rows.setdefault(box.layer, []).append(box)
    tallest = max((len(r) for r in rows.values()), default=1)
    height = tallest * (BOX_H + GAP_Y) - GAP_Y + 2 * PAD
    width = len(rows) * (BOX_W + GAP_X) - GAP_X + 2 * PAD
    at = {}
    for column, layer in enumerate(sorted(rows)):
        boxes = rows[layer]
        top = (height - (len(boxes) * (BOX_H + GAP_Y) - GAP_Y)) / 2
        for row, box in enumerate(boxes):
            at[box.id] = (PAD + column * (BOX_W + GAP_X), top + row * (BOX_H + GAP_Y))
    parts = [_arrow(a, at) for a in drawing.arrows] + [_drawn(b, *at[b.id]) for b in drawing.boxes]
    return Svg(
        f'<svg class="graph" role="group" aria-label="{escape(title)}" width="{width}" height="{height:.0f}" '
        f'viewBox="0 0 {width} {height:.0f}" xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def _layers(ids: Sequence[str], flow: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Longest path from a node without origin (Kahn's order); what lies on a cycle stays where it was reached."""
    waiting = dict.fromkeys(ids, 0)
    after: dict[str, list[str]] = {i: [] for i in ids}
    before: dict[str, list[str]] = {i: [] for i in ids}
    for a, b in dict.fromkeys(flow):
        after[a].append(b)
        before[b].append(a)
        waiting[b] += 1
    layer = dict.fromkeys(ids, 0)
    ready = [i for i in ids if not waiting[i]]
    while ready:
        here = ready.pop()
        for there in after[here]:
            layer[there] = max(layer[there], layer[here] + 1)
            waiting[there] -= 1
            if not waiting[there]:
                ready.append(there)
    for i in sorted(ids, key=lambda i: -layer[i]):  # origins move right, next to what was made of them
        if not before[i] and after[i]:
            layer[i] = max(0, min(layer[b] for b in after[i]) - 1)
    return layer


def _collapse(
    known: Mapping[str, Node], flow: Sequence[tuple[str, str, str]], layers: Mapping[str, int], focus: str
) -> dict[str, str]:
    """For each node the box that stands for it: itself, or the box of a long fan."""
    fans: dict[tuple[str, int], list[Node]] = {}
    for node in known.values():
        if node.id != focus:
            fans.setdefault((node.kind.value, layers[node.id]), []).append(node)
    stands = {i: i for i in known}
    for (kind, layer), members in fans.items():
        if len(members) > FAN_MAX:
            newest = sorted(members, key=lambda n: (n.created, n.id), reverse=True)
            stands |= {n.id: f"+{kind}@{layer}" for n in newest[FAN_KEPT:]}
    return stands


def _box(key: str, members: Sequence[Node], layer: int, focus: str) -> Box:
    first = members[0]
    kind = first.kind.value
    if key != first.id:
        return Box(key, kind, f"+{len(members)} more", f"/lineage?kind={segment(kind)}", layer, more=len(members))
    link = href(kind, first.name, first.facts, first.id) if first.id == focus else f"/lineage/{segment(first.id)}"
    return Box(first.id, kind, first.name, link, layer, first.id == focus)


def _ordered(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> list[Box]:
    """Four sweeps of barycentres against crossings."""
    rows: dict[int, list[Box]] = {}
    for box in sorted(boxes, key=lambda b: (b.kind, b.more, b.name)):
        rows.setdefault(box.layer, []).append(box)
    near: dict[str, list[str]] = {b.id: [] for b in boxes}
    for arrow in arrows:
        near[arrow.start].append(arrow.end)
        near[arrow.end].append(arrow.start)
    for _ in range(4):
        place = {b.id: i / max(1, len(row) - 1) for row in rows.values() for i, b in enumerate(row)}
        for row in rows.values():
            row.sort(key=lambda b: sum(place[n] for n in near[b.id]) / len(near[b.id]) if near[b.id] else 0.5)
    return [b for layer in sorted(rows) for b in rows[layer]]


def _arrow(arrow: Arrow, at: Mapping[str, tuple[float, float]]) -> str:
    (x1, y1), (x2, y2) = at[arrow.start], at[arrow.end]
    y1, y2 = y1 + BOX_H / 2, y2 + BOX_H / 2
    x1 += BOX_W
    bend = max(24.0, (x2 - x1) / 2)
    return (
        f'<path class="edge" d="M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} '
        f'{x2:.0f} {y2:.0f}">'
        f"<title>{escape(arrow.kind.replace('_', ' '))}</title></path>"
    )


def _drawn(box: Box, x: float, y: float) -> str:
    name = box.name if len(box.name) <= 24 else box.name[:23] + "…"
    kind = box.kind.replace("_", " ")
    style = f"box {GROUPS.get(box.kind, 'make')}{' focus' if box.focus else ''}{' fan' if box.more else ''}"
    return (
        f'<a href="{escape(box.href)}" class="{style}"><title>{escape(kind)}: {escape(box.name[:300])}</title>'
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX_W}" height="{BOX_H}" rx="3"/>'
        f'<rect class="edge-mark" x="{x:.0f}" y="{y:.0f}" width="4" height="{BOX_H}" rx="1"/>'
        f'<text class="kind" x="{x + 13:.0f}" y="{y + 16:.0f}">{escape(kind)}</text>'
        f'<text class="name" x="{x + 13:.0f}" y="{y + 32:.0f}">{escape(name)}</text></a>'
    )
