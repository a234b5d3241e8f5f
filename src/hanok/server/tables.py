"""Runs and SQL answers as tables: JSON, CSV, Arrow or Parquet, as the Accept header asks."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.core.errors import Invalid
from hanok.engine.app import App
from hanok.engine.parts import find
from hanok.engine.run_tables import RunTables
from hanok.engine.table_formats import MEDIA_TYPES, accepted, encoded
from hanok.server.lanes import while_asked
from hanok.server.routes import Route, in_thread


def routes(app: App) -> list[Route]:
    tables = find(app, RunTables)

    async def runs(request: Request) -> Response:
        """?experiment=&filter=&order_by=&limit=&history=1; experiment and order_by may stand more than once."""
        query = request.query_params
        make = tables.history if query.get("history") == "1" else tables.runs

        def answer() -> bytes:
            table = make(
                experiments=query.getlist("experiment"),
                filter=query.get("filter", ""),
                order_by=query.getlist("order_by"),
                limit=_number("limit", query.get("limit", "0")),
            )
            return encoded(table, form)

        form = accepted(request.headers.get("accept", ""))
        return Response(await in_thread(answer), media_type=MEDIA_TYPES[form])

    async def sql(request: Request) -> Response:
        """?query=SELECT ..."""
        form = accepted(request.headers.get("accept", ""))
        text = request.query_params.get("query", "")
        content = await while_asked("heavy", lambda: encoded(tables.sql(text), form), request.receive)
        return Response(content, media_type=MEDIA_TYPES[form])

    return [Route("GET", "/api/v1/runs", runs, Access.READ), Route("GET", "/api/v1/sql", sql, Access.READ)]


def _number(name: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise Invalid(f"{name} is {text[:40]!r}; it must be a number")
    return int(text)
