"""Whether declarations fit the tables that exist: each column they name has to be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hanok.core.declare import FeatureView, Model, Project
from hanok.core.errors import DeclarationError
from hanok.core.tables import OWN
from hanok.core.wording import near

Columns = Mapping[str, Sequence[str]]  # of each table that exists


def check_fit(project: Project, columns: Columns) -> None:
    """Raises DeclarationError for a column that its table does not have. A table that does not exist yet is not
    checked: its first batch may come after the declaration."""
    for view in project.views:
        check_view(view, columns)
    for model in project.models:
        check_model(model, columns)


def check_view(view: FeatureView, columns: Columns) -> None:
    title, table = f"feature view {view.name!r}", view.source.table
    _has(f"{title} source event_time", [view.source.event_time], table, columns)
    _has(f"{title} keys", view.key_columns, table, columns)
    _has(f"{title} {'features' if view.features else 'aggregate'}", view.columns, table, columns)


def check_model(model: Model, columns: Columns) -> None:
    title, spine, label = f"model {model.name!r}", model.spine.table, model.label.table
    _has(f"{title} spine predict_at", [model.spine.predict_at.column], spine, columns)
    _has(f"{title} spine keys", model.spine.keys, spine, columns)
    _has(f"{title} features", model.spine_columns, spine, columns)
    _has(f"{title} transforms", model.spine_inputs, spine, columns)
    _has(f"{title} split group", [model.split.group] if model.split.group else [], spine, columns)
    _has(f"{title} label column", [model.label.column], label, columns)
    _has(f"{title} label known_at", [model.label.known_at], label, columns)
    _has(f"{title} spine keys", model.spine.keys, label, columns)
    for view in model.views:
        _has(f"{title} features: the keys of feature view {view.name!r}", view.keys, spine, columns)
    if spine in columns and (model.spine.keys or label in columns):
        keys = model.spine.keys or [c for c in columns[spine] if c in columns[label]]
        known = [*model.feature_columns, *keys]
        for column in model.gate.slices:
            if column not in known:
                raise DeclarationError(
                    f"{title} gate slices: {column!r} is neither a feature nor a key of its rows"
                    f"{near(column, known) or '; there are ' + ', '.join(known)}"
                )


def _has(field: str, wanted: Sequence[str], table: str, columns: Columns) -> None:
    have = columns.get(table)
    if have is None:
        return
    for column in wanted:
        if column not in have and column not in OWN:
            raise DeclarationError(
                f"{field}: table {table!r} has no column {column!r}"
                f"{near(column, have) or '; it has ' + ', '.join(have)}"
            )
