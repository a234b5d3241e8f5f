"""POST /graphql, as MLflow's web UI asks: reads only, each query bounded before it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from hanok.core.access import Access
from hanok.core.errors import HanokError, Invalid
from hanok.parts.tracking import Tracking
from hanok.server.mlflow import charts, experiments, registry, runs
from hanok.server.mlflow.endpoint import JSON, Call, actor_of, answering
from hanok.server.routes import Handler, Route, in_thread
from hanok.wire.mlflow import bulk, requests, requests_models
from hanok.wire.mlflow.decode import decode_body
from hanok.wire.mlflow.graphql import (
    ALIASES_MAX,
    DEPTH_MAX,
    SCHEMA,
    SELECTIONS_MAX,
    TOKENS_MAX,
    camel,
    snake,
    too_much,
)

if TYPE_CHECKING:
    from graphql import DocumentNode, FragmentDefinitionNode, GraphQLSchema, SelectionSetNode

BODY_MAX_BYTES = 1 << 20
_ANSWERS: dict[str, tuple[type[msgspec.Struct], Callable[[Call, Any], Any]]] = {
    "mlflowGetExperiment": (requests.ExperimentId, experiments.get),
    "mlflowGetRun": (requests.RunId, runs.get),
    "mlflowListArtifacts": (requests.ListArtifacts, runs.list_artifacts),
    "mlflowGetMetricHistoryBulkInterval": (bulk.HistoryInterval, charts.get_history_bulk_interval),
    "mlflowSearchModelVersions": (requests_models.SearchModelVersions, registry.search_versions),
    "mlflowSearchRuns": (requests.SearchRuns, runs.search),
    "mlflowSearchDatasets": (bulk.SearchDatasets, charts.search_datasets),
}


class Asked(requests.Request, frozen=True, kw_only=True):
    query: requests.Required
    operationName: str | None = None
    variables: dict[str, Any] | None = None


def routes(tracking: Tracking) -> list[Route]:
    handle = answering(_handle(tracking))
    return [Route("POST", path, handle, Access.READ, BODY_MAX_BYTES) for path in ("/graphql", "/ajax-api/graphql")]


def _handle(tracking: Tracking) -> Handler:
    async def handle(request: Request) -> Response:
        asked = decode_body(Asked, await request.body())
        body = await in_thread(answer, Call(tracking, actor_of(request)), asked)
        return Response(orjson.dumps(body), media_type=JSON)

    return handle


def answer(call: Call, asked: Asked) -> dict[str, Any]:
    """{"data", "errors"}; `errors` are texts, null when there are none."""
    from graphql import GraphQLError, execute_sync, parse, validate

    try:
        document = parse(asked.query, max_tokens=TOKENS_MAX)
    except (GraphQLError, RecursionError) as error:
        return {"data": None, "errors": [f"the query cannot be read: {str(error)[:500]}"]}
    over = too_much(*_cost(document))
    if over is not None:
        return {"data": None, "errors": [over]}
    wrong = validate(_schema(), document, max_errors=5)
    if wrong:
        return {"data": None, "errors": [error.message for error in wrong]}
    done = execute_sync(
        _schema(),
        document,
        context_value=call,
        variable_values=asked.variables,
        operation_name=asked.operationName or None,
    )
    return {"data": done.data, "errors": [error.message for error in done.errors] if done.errors else None}


@cache
def _schema() -> GraphQLSchema:
    from graphql import GraphQLObjectType, build_schema

    schema = build_schema(SCHEMA)
    for type_ in schema.type_map.values():
        for name, field in type_.fields.items() if isinstance(type_, GraphQLObjectType) else ():
            if field.type is schema.type_map["LongString"]:
                field.resolve = _text(name, "0" if name == "fileSize" else None)  # a folder has the default
    for kind in (schema.query_type, schema.mutation_type):
        for name, field in (kind.fields if kind is not None else {}).items():
            field.resolve = _resolver(name) if name in _ANSWERS else _echo
    run = schema.type_map["MlflowRunExtension"].fields  # type: ignore[attr-defined]
    run["experiment"].resolve, run["modelVersions"].resolve = _experiment_of, _versions_of
    return schema


def _resolver(name: str) -> Callable[..., Any]:
    kind, answered = _ANSWERS[name]

    def resolve(_: Any, info: Any, input: dict[str, Any] | None = None) -> Any:
        fields = {snake(key): value for key, value in (input or {}).items() if value is not None}
        try:
            return camel(answered(info.context, decode_body(kind, orjson.dumps(fields))))
        except HanokError as error:
            raise Invalid(error.message) from None

    return resolve


def _text(name: str, default: str | None) -> Callable[..., str | None]:
    def resolve(found: dict[str, Any], info: Any) -> str | None:
        return default if found.get(name) is None else str(found[name])

    return resolve


def _echo(_: Any, info: Any, inputString: str = "") -> Any:
    return {"output": inputString}


def _experiment_of(run: Any, info: Any) -> Any:
    asked = requests.ExperimentId(experiment_id=run["info"]["experimentId"])
    return camel(experiments.get(info.context, asked))["experiment"]


def _versions_of(run: Any, info: Any) -> Any:
    asked = requests_models.SearchModelVersions(filter=f"run_id = '{run['info']['runId']}'")
    return camel(registry.search_versions(info.context, asked))["modelVersions"]


def _cost(document: DocumentNode) -> tuple[int, int, int, int]:
    """Root fields, aliases (of all levels), depth and selections, fragments counted where they are spread."""
    from graphql import FragmentDefinitionNode, OperationDefinitionNode

    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    roots = aliases = depth = selections = 0
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            seen = _Count(fragments)
            seen.walk(definition.selection_set, 1)
            roots += len(definition.selection_set.selections)
            aliases, depth = max(aliases, seen.aliases), max(depth, seen.depth)
            selections += seen.selections
    return roots, aliases, depth, selections


class _Count:
    """Stops as soon as a limit is passed, so that no query costs more to count than to refuse."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self.aliases = self.depth = self.selections = 0

    def walk(self, chosen: SelectionSetNode | None, depth: int) -> None:
        from graphql import FieldNode, FragmentSpreadNode

        if chosen is None or self.depth > DEPTH_MAX or self.selections > SELECTIONS_MAX or self.aliases > ALIASES_MAX:
            return
        self.depth = max(self.depth, depth)
        for node in chosen.selections:
            self.selections += 1
            if isinstance(node, FieldNode):
                self.aliases += node.alias is not None
                self.walk(node.selection_set, depth + 1)
            elif isinstance(node, FragmentSpreadNode):
                fragment = self._fragments.get(node.name.value)
                self.walk(fragment.selection_set if fragment else None, depth + 1)
            else:
                self.walk(node.selection_set, depth)  # type: ignore[attr-defined]
