"""Data: tables, what their rows are expected to be, what was found, and what was set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from hanok.core.errors import SourceNotFound
from hanok.core.validation import CHECK, Anomaly, CheckResult, SetAside
from hanok.ui.views.columns import Columns, columns_of
from hanok.ui.views.common import Ask
from hanok.ui.views.today import SourceLine, sources_of

if TYPE_CHECKING:
    from hanok.engine.app import App

CHECKS, SET_ASIDE = 30, 20


@dataclass(frozen=True, slots=True)
class ViewLine:
    name: str
    keys: tuple[str, ...]
    source: str
    features: tuple[str, ...]
    online: int


@dataclass(frozen=True, slots=True)
class Data:
    now: datetime
    sources: tuple[SourceLine, ...]
    views: tuple[ViewLine, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """What one batch brought."""

    batch: str
    node: str
    at: datetime | None
    rows: int
    accepted: int
    quarantined: int
    anomalies: tuple[Anomaly, ...]


@dataclass(frozen=True, slots=True)
class TablePage:
    now: datetime
    name: str
    rows: int
    quarantined: int
    counting: int | None
    event_time: str
    keys: tuple[str, ...]
    columns: Columns
    checks: tuple[Check, ...]
    set_aside: tuple[SetAside, ...]
    views: tuple[str, ...]


def data(app: App, ask: Ask) -> Data:
    views = tuple(
        ViewLine(v.name, v.keys, v.source.table, v.feature_names, app.features.entities_online(v.name))
        for v in app.features.views()
    )
    return Data(app.clock.now(), sources_of(app), views)


def table_page(app: App, ask: Ask) -> TablePage:
    """Raises SourceNotFound."""
    name = ask.path["table"]
    schema = app.validation.schema(name)
    if name not in app.tables.names() and schema is None:
        raise SourceNotFound(f"there is no table {name[:80]!r}; see the list at /data")
    bodies = app.metadata.read(lambda r: r.records.list(CHECK.name, name, limit=CHECKS))
    checks = tuple(_check(c, b.get("_at")) for c, b in zip(CHECK.all(bodies), bodies, strict=True))
    return TablePage(
        app.clock.now(),
        name,
        app.tables.size(name),
        app.tables.size("quarantine--" + name),
        app.validation.kept.rows_counting(name),
        schema.event_time if schema else "",
        schema.keys if schema else (),
        columns_of(app, name, ask, {c.name: c for c in schema.columns} if schema else {}, _found_in(checks)),
        checks,
        tuple(app.validation.quarantined(name, limit=SET_ASIDE)),
        tuple(v.name for v in app.features.views() if v.source.table == name),
    )


def _check(result: CheckResult, at: datetime | None) -> Check:
    return Check(result.batch, result.node, at, result.rows, result.accepted, result.quarantined, result.anomalies)


def _found_in(checks: Sequence[Check]) -> Mapping[str, int]:
    """How often something was found in each column."""
    return Counter(a.column for check in checks for a in check.anomalies)
