"""Training sets over HTTP: rows as an Arrow stream in, rows with features as an Arrow stream out."""

from __future__ import annotations

import io

import orjson
import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from hanok.compute.user_sql import is_query
from hanok.core.access import Access
from hanok.core.errors import BadData, Forbidden, Invalid
from hanok.core.json import Json
from hanok.engine.app import App
from hanok.engine.feature_sets import FILES, AskedSet, FeatureSets, SpineRows
from hanok.engine.parts import find
from hanok.engine.table_formats import ARROW_STREAM, encoded
from hanok.engine.verbs.features import asked_features
from hanok.sdk.frames import DIGEST, SET
from hanok.server.lanes import while_asked
from hanok.server.routes import Route

BODY_MAX_BYTES = 1 << 30


def routes(app: App) -> list[Route]:
    sets = find(app, FeatureSets)

    async def make(request: Request) -> Response:
        """?features=&at=&known_time=1, and the rows as the body; or ?spine=, a table or one SELECT. `features` may
        stand more than once: names, or declarations as JSON."""
        query = request.query_params
        asked = AskedSet(
            asked_features([_feature(text) for text in query.getlist("features")]),
            query.get("at", ""),
            query.get("known_time", "1") not in ("0", "false"),
        )
        body, spine = await request.body(), query.get("spine", "")

        def answer() -> bytes:
            made = sets.make(_named(sets, spine) if spine else SpineRows(_rows(body)), asked)
            told = {**(made.rows.schema.metadata or {}), SET: made.id.encode(), DIGEST: made.digest.encode()}
            return encoded(made.rows.replace_schema_metadata(told), "arrow")

        return Response(await while_asked("long", answer, request.receive), media_type=ARROW_STREAM)

    return [Route("POST", "/api/v1/feature/sets", make, Access.EDIT, BODY_MAX_BYTES)]


def _named(sets: FeatureSets, spine: str) -> SpineRows:
    """Of tables only: files of this machine are none of a caller's."""
    if spine not in sets.tables.names() and not is_query(spine):
        if spine.lower().endswith(FILES):
            raise Forbidden("send the rows of a file as the body: a server reads no files for those who call it")
        if len(spine.split()) > 1:
            raise Invalid("spine is the name of a table, or one SELECT over tables")
        raise Invalid(f"there is no table {spine[:80]!r}")
    return sets.of_tables(spine)


def _rows(body: bytes) -> pa.Table:
    try:
        return pa.ipc.open_stream(io.BytesIO(body)).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise BadData(f"the body is no Arrow stream: {str(error).splitlines()[0][:200]}") from None


def _feature(text: str) -> Json:
    if not text.startswith("{"):
        return text
    try:
        found: Json = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"features: {error}") from None
    return found
