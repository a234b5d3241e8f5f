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

from hanok.compute.values import bring
from hanok.core.access import Access
from hanok.core.declare import FeatureView
from hanok.core.errors import BadData, FeatureViewNotFound, Forbidden, HanokError, Invalid
from hanok.core.json import Json, JsonObject
from hanok.core.tables import ARRIVED
from hanok.core.wording import near
from hanok.core.work import Work
from hanok.engine.app import App
from hanok.engine.parts import find
from hanok.engine.pushing import Pushing
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
        views = features.named([asked.service] if asked.service else asked.features)
        keys = list(dict.fromkeys(k for v in views for k in v.keys))
        if missing := [k for k in keys if k not in asked.entities]:
            raise Invalid(f"entities lack the join key {missing[0]!r}; these features need {', '.join(keys)}")
        entities = [{k: asked.entities[k][i] for k in keys} for i in range(asked.rows)]
        found = {f"{f.view}:{f.feature}": f for f in features.online_of(views, entities)}
        columns = [found[_reference(name)] for name in asked.features] if asked.features else list(found.values())
        names = [f.column if asked.full_names else f.feature for f in columns]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise Invalid(f"two features are named {twice[0]!r}: ask with full_feature_names")
        answered = [feast.Answered(n, f.values, f.statuses, f.event_times) for n, f in zip(names, columns, strict=True)]
        versions: list[JsonObject] = [{"name": v.name, "version": 0} for v in views]
        return feast.answer(asked.entities, asked.rows, answered, versions if asked.versions else None)

    def push(self, body: bytes) -> bytes:
        rows = feast.pushed(body)
        tables = {v.source.table: v for v in self.app.features.views()}
        if rows.name not in tables:
            raise Invalid(
                f"there is no push source {rows.name!r}{near(rows.name, list(tables))}; rows are pushed to the tables "
                f"of feature views: {', '.join(tables) or 'none'}"
            )
        return self._append(tables[rows.name], rows, body) or b""

    def write(self, body: bytes) -> bytes:
        rows = feast.written(body)
        return self._append(self.app.features.view(rows.name), rows, body) or b"null"

    def materialize(self, body: bytes) -> bytes:
        for view in self._views(feast.materialized(body)):
            self.app.features.materialize(view.name)
        return b"null"

    def materialize_incremental(self, body: bytes) -> bytes:
        self._views(feast.materialized(body))
        return b"null"

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

    def _append(self, view: FeatureView, pushed: feast.Pushed, body: bytes) -> bytes:
        """What is to be told of the rows, where not all of them were taken."""
        table, columns = view.source.table, dict[str, pa.ChunkedArray]()
        known = self.app.tables.scan(table).schema if self.app.tables.size(table) else pa.schema([])
        for name, values in self._as_here(view, pushed).items():
            try:
                made = pa.chunked_array([pa.array(values)])
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
                raise BadData(f"column {name!r} of {pushed.name!r} holds values of several types: {error}") from None
            if pa.types.is_null(made.type) and name in known.names:  # these rows say null; they do not leave it out
                made = pa.chunked_array([pa.nulls(len(made), known.field(name).type)])
            instant = name in (view.source.event_time, view.source.known_at)
            columns[name] = bring(made, "TIMESTAMP").column if instant else made
        wanted = [n for n in (*view.key_columns, view.source.event_time) if n != ARRIVED]
        if lacking := [n for n in wanted if n not in columns]:
            raise BadData(f"the rows for {pushed.name!r} lack the column {lacking[0]!r}")
        rows = pa.table(columns)
        if not rows.num_rows:
            return b""
        result = find(self.app, Pushing).push(table, rows, sha256(body).hexdigest()[:32])
        self.app.bus.settle()
        if not result.quarantined:
            return b""
        reasons = list(dict.fromkeys(a.message for a in result.anomalies if a.severity == "error"))
        if result.accepted or result.unchanged:
            return feast.partly(result.accepted, result.unchanged, result.quarantined, reasons, table)
        raise BadData(
            f"none of the {rows.num_rows} rows for {pushed.name!r} fits table {table!r} ({'; '.join(reasons[:3])}); "
            f"they were set aside: hanok quarantine list {table}"
        )


def _reference(name: str) -> str:
    """One feature, as Feast's clients name it."""
    if ":" not in name:
        raise FeatureViewNotFound(f"{name!r} is no feature; name it like 'view:feature'")
    return name
