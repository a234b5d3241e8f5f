"""Feast's HTTP feature server: its clients read, push and materialize here as they do there.

Rows that are pushed go into the table of the feature view (or of that name), and so both into what is read online and
into training sets: Hanok has no rows that only one of them knows. Values are kept up with each push, so there is
nothing left for an incremental materialization.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from hanok.compute.values import ARROW, bring, column_type
from hanok.core.access import Access
from hanok.core.declare import FeatureView
from hanok.core.errors import BadData, BadKey, FeatureViewNotFound, Forbidden, HanokError, Invalid
from hanok.core.json import Json, JsonObject
from hanok.core.tables import ARRIVED
from hanok.core.wording import near
from hanok.core.work import Work
from hanok.engine.app import App
from hanok.engine.parts import find
from hanok.engine.pushing import Pushing
from hanok.parts.features.asking import OnlineFeature
from hanok.server.lanes import in_lane
from hanok.server.routes import Handler, Route
from hanok.wire import feast

BODY_MAX_BYTES = 64 << 20
EVENT, CREATED = "event_timestamp", "created"  # what Feast's client calls the instants of a row


def routes(app: App) -> list[Route]:
    server = FeatureServer(app)

    def handler(work: Work, answer: Callable[[bytes], bytes], *, later: bool = False) -> Handler:
        async def handle(request: Request) -> Response:
            body = await request.body()
            try:
                content = await in_lane(work, partial(answer, body))
            except Forbidden:
                raise
            except HanokError as error:
                status, said = feast.refusal(error)
                return Response(said, status, media_type="application/json")
            if later and request.query_params.get("async") == "true":
                said = feast.accepted(feast.materialized(body))
                return Response(said, 202, media_type="application/json")
            return Response(content, media_type="application/json")

        return handle

    return [
        Route("POST", "/get-online-features", handler("read", server.online), Access.READ),
        Route("POST", "/push", handler("upload", server.push), Access.EDIT, BODY_MAX_BYTES),
        Route("POST", "/write-to-online-store", handler("upload", server.write), Access.EDIT, BODY_MAX_BYTES),
        Route("POST", "/materialize", handler("long", server.materialize, later=True), Access.EDIT),
        Route(
            "POST", "/materialize-incremental", handler("long", server.materialize_incremental, later=True), Access.EDIT
        ),
    ]


@dataclass(frozen=True, slots=True)
class FeatureServer:
    """What each route does, from bytes to bytes."""

    app: App

    def online(self, body: bytes) -> bytes:
        asked, features = feast.asked(body), self.app.features
        views = features.named(asked.features) if not asked.service else self._of_service(asked.service)
        keys = list(dict.fromkeys(k for v in views for k in v.keys))
        if missing := [k for k in keys if k not in asked.entities]:
            raise Invalid(f"entities lack the join key {missing[0]!r}; these features need {', '.join(keys)}")
        columns = {k: asked.entities[k] for k in keys}
        try:
            found = self._found(views, columns, asked.rows)
        except BadKey:
            instants = self._instants(views)
            if not instants:
                raise
            told = {k: feast.instants(v) if k in instants else v for k, v in columns.items()}
            found = self._found(views, told, asked.rows)
        chosen = [found[_reference(name)] for name in asked.features] if asked.features else list(found.values())
        names = [f.column if asked.full_names else f.feature for f in chosen]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise feast.NamesCollide(f"two features are named {twice[0]!r}: ask with full_feature_names")
        answered = [feast.Answered(n, f.values, f.statuses, f.event_times) for n, f in zip(names, chosen, strict=True)]
        versions: list[JsonObject] = [{"name": v.name, "version": 0} for v in views]
        given = {name: values for name, values in asked.entities.items() if name in keys}
        return feast.answer(given, asked.rows, answered, versions if asked.versions else None)

    def _found(self, views: Sequence[FeatureView], keys: feast.Columns, rows: int) -> dict[str, OnlineFeature]:
        entities = [{k: values[i] for k, values in keys.items()} for i in range(rows)]
        return {f"{f.view}:{f.feature}": f for f in self.app.features.online_of(views, entities)}

    def _instants(self, views: Sequence[FeatureView]) -> set[str]:
        """The keys of views that are instants, which Feast's clients send as numbers."""
        tables = {v.source.table for v in views if self.app.tables.size(v.source.table)}
        known = {table: self.app.tables.scan(table).schema for table in tables}
        return {
            key
            for view in views
            for key, column in zip(view.keys, view.key_columns, strict=True)
            if _kind(view, known.get(view.source.table, pa.schema([])), column) == "TIMESTAMP"
        }

    def push(self, body: bytes) -> bytes:
        rows = feast.pushed(body)
        tables = {v.source.table: v for v in self.app.features.views()}
        if rows.name not in tables:
            raise feast.NoPushSource(
                f"there is no push source {rows.name!r}{near(rows.name, list(tables))}; rows are pushed to the tables "
                f"of feature views: {', '.join(tables) or 'none'}"
            )
        keys = [set(v.key_columns) for v in self.app.features.views() if v.source.table == rows.name]
        view = tables[rows.name]
        self._append(view, rows, body, [k for k in view.key_columns if all(k in of for of in keys)])
        return b""

    def write(self, body: bytes) -> bytes:
        rows = feast.written(body)
        view = self.app.features.view(rows.name)
        self._append(view, rows, body, view.key_columns)
        return b"null"

    def materialize(self, body: bytes) -> bytes:
        for view in self._views(feast.materialized(body)):
            self.app.features.materialize(view.name)
        return b"null"

    def materialize_incremental(self, body: bytes) -> bytes:
        self._views(feast.materialized(body))
        return b"null"

    def _of_service(self, name: str) -> tuple[FeatureView, ...]:
        try:
            return self.app.features.named([name])
        except FeatureViewNotFound as error:
            raise feast.NoFeatureService(error.message) from None

    def _views(self, names: tuple[str, ...]) -> list[FeatureView]:
        known = self.app.features.views()
        return [self.app.features.view(n) for n in names] if names else known

    def _as_here(self, view: FeatureView, pushed: feast.Pushed) -> dict[str, Sequence[Json]]:
        """The columns under the names that the table has: Feast's client calls the instants of a row `event_timestamp`
        and `created` whatever the source does, and sends a `created` of nulls where there is none."""
        given, table = dict(pushed.columns), view.source.table
        for name, here in ((EVENT, view.source.event_time), (CREATED, view.source.known_at)):
            if name in given and here and here not in given and here != ARRIVED:
                given[here] = given.pop(name)
        known = self.app.tables.scan(table).schema.names if self.app.tables.size(table) else []
        if CREATED in given and CREATED not in known and all(v is None for v in given[CREATED]):
            del given[CREATED]
        return given

    def _append(self, view: FeatureView, pushed: feast.Pushed, body: bytes, by: Sequence[str]) -> None:
        """Every row of a write is in, or an error says which are not. `by` are the keys that no row may lack."""
        table, columns = view.source.table, dict[str, pa.ChunkedArray]()
        given = self._as_here(view, pushed)
        known = self.app.tables.scan(table).schema if self.app.tables.size(table) else pa.schema([])
        for name, values in given.items():
            columns[name] = _column(pushed.name, name, values, _kind(view, known, name), name in known.names)
        wanted = [n for n in (*view.key_columns, view.source.event_time) if n != ARRIVED]
        if lacking := [n for n in wanted if n not in columns]:
            raise BadData(f"the rows for {pushed.name!r} lack the column {lacking[0]!r}")
        for name in by:
            if (row := next((i for i, v in enumerate(given[name]) if v is None), None)) is not None:
                raise BadData(
                    f"row {row + 1} for {pushed.name!r} has no {name!r}, which says whose values they are; no row of "
                    "this write was taken"
                )
        rows = pa.table(columns)
        if not rows.num_rows:
            return
        result = find(self.app, Pushing).push(table, rows, sha256(body).hexdigest()[:32])
        self.app.bus.settle()
        if not result.quarantined:
            return
        reasons = list(dict.fromkeys(a.message for a in result.anomalies if a.severity == "error"))
        taken = result.accepted + result.unchanged
        some = f"{result.quarantined} of the {rows.num_rows} rows for {pushed.name!r} do not fit"
        fit = some if taken else f"none of the {rows.num_rows} rows for {pushed.name!r} fits"
        rest = f"; the other {taken} are in" if taken else ""
        raise BadData(
            f"{fit} table {table!r} ({'; '.join(reasons[:3])}); they were set aside: hanok quarantine list "
            f"{table}{rest}"
        )


def _kind(view: FeatureView, known: pa.Schema, name: str) -> str:
    """The type of a column, where the table or its declaration says it."""
    declared = dict(view.source.columns or ()).get(name, "")
    if name in (view.source.event_time, view.source.known_at) or declared.startswith("date"):
        return "TIMESTAMP"
    return column_type(known.field(name).type) if name in known.names else ""


def _column(rows: str, name: str, values: Sequence[Json], kind: str, there: bool) -> pa.ChunkedArray:
    """A column as it came, in the type of its values; `kind` is that of the column, which is `there` already or new.

    Raises BadData for values of several types, and for instants of a new column that nobody can read."""
    if kind == "TIMESTAMP":
        values = feast.instants(values)
    try:
        came = pa.chunked_array([pa.array(values)])
    except OverflowError:
        raise BadData(
            f"column {name!r} of {rows!r} holds a whole number of more than 64 bits: send it as text"
        ) from None
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise BadData(f"column {name!r} of {rows!r} holds values of several types: {error}") from None
    if pa.types.is_null(came.type) and there:  # these rows say null; they do not leave it out
        return pa.chunked_array([pa.nulls(len(came), ARROW[kind])])
    if kind != "TIMESTAMP":
        return came
    made = bring(came, kind)
    if made.bad.any() and not there:
        raise BadData(f"column {name!r} of {rows!r} {made.reason}: {made.first}")
    return came if made.bad.any() else made.column  # what nobody can read is set aside as it came


def _reference(name: str) -> str:
    """One feature, as Feast's clients name it."""
    if ":" not in name:
        raise FeatureViewNotFound(f"{name!r} is no feature; name it like 'view:feature'")
    return name
