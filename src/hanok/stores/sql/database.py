"""The metadata store on SQL: one writer thread that commits in groups, readers beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from hanok.core.errors import Unavailable
from hanok.stores.sql.access import SqlRoles, SqlTokens, SqlUsers
from hanok.stores.sql.audit import SqlAuditLog
from hanok.stores.sql.blob_references import SqlBlobReferences
from hanok.stores.sql.declarations import SqlDeclarations
from hanok.stores.sql.deployments import SqlDeployments
from hanok.stores.sql.engines import engine_of
from hanok.stores.sql.errors import translated, worth_repeating
from hanok.stores.sql.evaluation import SqlEvaluationDatasets, SqlEvaluationRecords
from hanok.stores.sql.gateway import SqlEndpointBindings, SqlGatewayEndpoints, SqlGatewaySecrets, SqlModelDefinitions
from hanok.stores.sql.imports import SqlImports
from hanok.stores.sql.lineage import SqlLineage, SqlOutbox
from hanok.stores.sql.projects import SqlProjects
from hanok.stores.sql.records import SqlRecords
from hanok.stores.sql.registry import SqlRegistry
from hanok.stores.sql.registry_stages import SqlStageHistory
from hanok.stores.sql.run_tables import SqlRunTables
from hanok.stores.sql.schema import migrate
from hanok.stores.sql.scorers import SqlScorers
from hanok.stores.sql.traces import SqlTraceLinks, SqlTraces
from hanok.stores.sql.traces_judged import SqlAssessments
from hanok.stores.sql.traces_spans import SqlSpans
from hanok.stores.sql.traces_statistics import SqlTraceStatistics
from hanok.stores.sql.tracking import (
    SqlArtifacts,
    SqlExperiments,
    SqlLoggedModels,
    SqlMetrics,
    SqlRegistryUpkeep,
    SqlRunLinks,
    SqlRunListings,
    SqlRunOverview,
    SqlRuns,
)
from hanok.stores.sql.tracking_upkeep import SqlTrackingUpkeep
from hanok.stores.sql.tuning import SqlStudies, SqlTrials
from hanok.stores.sql.webhooks import SqlWebhookDeliveries, SqlWebhooks
from hanok.stores.sql.workflows import SqlWorkflows
from hanok.stores.sql.writer import GroupWriter

if TYPE_CHECKING:
    from hanok.stores.ports import Repositories

T = TypeVar("T")


class SqlRepositories:
    """All aggregates on one connection, made when first asked for."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @cached_property
    def lineage(self) -> SqlLineage:
        return SqlLineage(self._connection)

    @cached_property
    def outbox(self) -> SqlOutbox:
        return SqlOutbox(self._connection)

    @cached_property
    def declarations(self) -> SqlDeclarations:
        return SqlDeclarations(self._connection)

    @cached_property
    def registry(self) -> SqlRegistry:
        return SqlRegistry(self._connection)

    @cached_property
    def deployments(self) -> SqlDeployments:
        return SqlDeployments(self._connection)

    @cached_property
    def workflows(self) -> SqlWorkflows:
        return SqlWorkflows(self._connection)

    @cached_property
    def records(self) -> SqlRecords:
        return SqlRecords(self._connection)

    @cached_property
    def experiments(self) -> SqlExperiments:
        return SqlExperiments(self._connection)

    @cached_property
    def runs(self) -> SqlRuns:
        return SqlRuns(self._connection)

    @cached_property
    def metrics(self) -> SqlMetrics:
        return SqlMetrics(self._connection)

    @cached_property
    def run_links(self) -> SqlRunLinks:
        return SqlRunLinks(self._connection)

    @cached_property
    def run_overview(self) -> SqlRunOverview:
        return SqlRunOverview(self._connection)

    @cached_property
    def run_listings(self) -> SqlRunListings:
        return SqlRunListings(self._connection)

    @cached_property
    def logged_models(self) -> SqlLoggedModels:
        return SqlLoggedModels(self._connection)

    @cached_property
    def artifacts(self) -> SqlArtifacts:
        return SqlArtifacts(self._connection)

    @cached_property
    def traces(self) -> SqlTraces:
        return SqlTraces(self._connection)

    @cached_property
    def spans(self) -> SqlSpans:
        return SqlSpans(self._connection)

    @cached_property
    def assessments(self) -> SqlAssessments:
        return SqlAssessments(self._connection)

    @cached_property
    def trace_links(self) -> SqlTraceLinks:
        return SqlTraceLinks(self._connection)

    @cached_property
    def trace_statistics(self) -> SqlTraceStatistics:
        return SqlTraceStatistics(self._connection)

    @cached_property
    def evaluation_datasets(self) -> SqlEvaluationDatasets:
        return SqlEvaluationDatasets(self._connection)

    @cached_property
    def evaluation_records(self) -> SqlEvaluationRecords:
        return SqlEvaluationRecords(self._connection)

    @cached_property
    def gateway_secrets(self) -> SqlGatewaySecrets:
        return SqlGatewaySecrets(self._connection)

    @cached_property
    def model_definitions(self) -> SqlModelDefinitions:
        return SqlModelDefinitions(self._connection)

    @cached_property
    def gateway_endpoints(self) -> SqlGatewayEndpoints:
        return SqlGatewayEndpoints(self._connection)

    @cached_property
    def endpoint_bindings(self) -> SqlEndpointBindings:
        return SqlEndpointBindings(self._connection)

    @cached_property
    def scorers(self) -> SqlScorers:
        return SqlScorers(self._connection)

    @cached_property
    def registry_upkeep(self) -> SqlRegistryUpkeep:
        return SqlRegistryUpkeep(self._connection)

    @cached_property
    def tracking_upkeep(self) -> SqlTrackingUpkeep:
        return SqlTrackingUpkeep(self._connection)

    @cached_property
    def blob_references(self) -> SqlBlobReferences:
        return SqlBlobReferences(self._connection)

    @cached_property
    def imports(self) -> SqlImports:
        return SqlImports(self._connection)

    @cached_property
    def stage_history(self) -> SqlStageHistory:
        return SqlStageHistory(self._connection)

    @cached_property
    def run_tables(self) -> SqlRunTables:
        return SqlRunTables(self._connection)

    @cached_property
    def projects(self) -> SqlProjects:
        return SqlProjects(self._connection)

    @cached_property
    def users(self) -> SqlUsers:
        return SqlUsers(self._connection)

    @cached_property
    def tokens(self) -> SqlTokens:
        return SqlTokens(self._connection)

    @cached_property
    def roles(self) -> SqlRoles:
        return SqlRoles(self._connection)

    @cached_property
    def audit(self) -> SqlAuditLog:
        return SqlAuditLog(self._connection)

    @cached_property
    def webhooks(self) -> SqlWebhooks:
        return SqlWebhooks(self._connection)

    @cached_property
    def webhook_deliveries(self) -> SqlWebhookDeliveries:
        return SqlWebhookDeliveries(self._connection)

    @cached_property
    def studies(self) -> SqlStudies:
        return SqlStudies(self._connection)

    @cached_property
    def trials(self) -> SqlTrials:
        return SqlTrials(self._connection)


class SqlMetadata:
    """`url` is an SQLAlchemy URL; `sqlite://` alone lives in memory. Raises Corrupt if the file is no database,
    Unavailable if PostgreSQL does not answer."""

    def __init__(self, url: str) -> None:
        self._url, self._engine = url, engine_of(url)
        try:
            migrate(self._engine, url)
        except sa.exc.DatabaseError as error:
            raise translated(error) from error
        self._writer = GroupWriter(self._engine, SqlRepositories)

    def __reduce__(self) -> tuple[type[SqlMetadata], tuple[str]]:
        """In another process it is opened anew."""
        return SqlMetadata, (self._url,)

    @classmethod
    def at(cls, path: Path) -> SqlMetadata:
        """The SQLite file at `path`, made when it is not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(str(sa.URL.create("sqlite", database=str(path))))  # quoted, whatever the path holds

    def read(self, work: Callable[[Repositories], T]) -> T:
        try:
            try:
                return self._read(work)
            except Exception as error:
                if not worth_repeating(error):
                    raise
            return self._read(work)  # on a new connection: the old one may have been lost long ago
        except Exception as error:
            said = translated(error)
            if said is error:
                raise
            raise said from error

    def write(self, work: Callable[[Repositories], T]) -> T:
        return self.submit(work).result()

    def submit(self, work: Callable[[Repositories], T]) -> Future[T]:
        return self._writer.submit(work)

    def backup(self, path: str) -> None:
        """A consistent copy of the SQLite database at `path`, taken while it is in use."""
        with self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            if not isinstance(raw, sqlite3.Connection):
                raise Unavailable(
                    "hanok backup covers the embedded store: back PostgreSQL up with pg_dump, then copy the home "
                    "(docs/how-to/postgresql.md)"
                )
            target = sqlite3.connect(path)
            with target:
                raw.backup(target)
            target.close()

    def reset(self) -> None:
        """Back to a store that was just made. For conformance tests, which start from nothing each time."""
        self._writer.alone(self._make_anew)

    def close(self) -> None:
        self._writer.close()
        self._engine.dispose()

    def _make_anew(self) -> None:
        known = sa.MetaData()
        with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.info["begin"] = "BEGIN IMMEDIATE"  # waits for its turn to write before it looks
            with connection.begin():
                known.reflect(connection)
                known.drop_all(connection)
        migrate(self._engine, self._url)

    def _read(self, work: Callable[[Repositories], T]) -> T:
        with self._engine.begin() as connection:
            return work(SqlRepositories(connection))
