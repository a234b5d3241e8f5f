"""The repositories as one caller sees them.

Each has the methods of its port with their rules, and the type checker holds it to that: a method without a rule does
not exist for such a caller. What nobody shares, such as users, webhooks and secrets, is for owners of all projects.
"""

from __future__ import annotations

from hanok.core.access import Access
from hanok.parts.access.gate import Gate
from hanok.parts.access.guarded_floor import GuardedLineage, GuardedOutbox, GuardedRecords, GuardedTrackingUpkeep
from hanok.parts.access.guarded_registry import (
    GuardedDeclarations,
    GuardedDeployments,
    GuardedImports,
    GuardedRegistry,
    GuardedRegistryUpkeep,
    GuardedStageHistory,
    GuardedWorkflows,
)
from hanok.parts.access.guarded_traces import (
    GuardedAssessments,
    GuardedEvaluationDatasets,
    GuardedEvaluationRecords,
    GuardedGatewayEndpoints,
    GuardedScorers,
    GuardedSpans,
    GuardedTraceLinks,
    GuardedTraces,
    GuardedTraceStatistics,
)
from hanok.parts.access.guarded_tracking import (
    GuardedArtifacts,
    GuardedExperiments,
    GuardedLoggedModels,
    GuardedMetrics,
    GuardedRunLinks,
    GuardedRunListings,
    GuardedRunOverview,
    GuardedRuns,
    GuardedRunTables,
)
from hanok.parts.access.guarded_tuning import GuardedStudies, GuardedTrials
from hanok.stores.ports import Declarations, Deployments, Lineage, Outbox, Records, Registry, Workflows
from hanok.stores.ports_access import AuditLog, Projects, Roles, Tokens, Users
from hanok.stores.ports_evaluation import EvaluationDatasets, EvaluationRecords
from hanok.stores.ports_gateway import EndpointBindings, GatewayEndpoints, GatewaySecrets, ModelDefinitions, Scorers
from hanok.stores.ports_traces import Assessments, Spans, TraceLinks, Traces, TraceStatistics
from hanok.stores.ports_tracking import (
    Artifacts,
    Experiments,
    LoggedModels,
    Metrics,
    RegistryUpkeep,
    RunLinks,
    RunListings,
    RunOverview,
    Runs,
    WebhookDeliveries,
    Webhooks,
)
from hanok.stores.ports_tuning import Studies, Trials
from hanok.stores.ports_upkeep import BlobReferences, Imports, RunTables, StageHistory, TrackingUpkeep


class GuardedRepositories:
    __slots__ = ("_gate",)

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    @property
    def lineage(self) -> Lineage:
        return GuardedLineage(self._gate, self._gate.r.lineage)

    @property
    def outbox(self) -> Outbox:
        return GuardedOutbox(self._gate, self._gate.r.outbox)

    @property
    def declarations(self) -> Declarations:
        return GuardedDeclarations(self._gate, self._gate.r.declarations)

    @property
    def registry(self) -> Registry:
        return GuardedRegistry(self._gate, self._gate.r.registry)

    @property
    def deployments(self) -> Deployments:
        return GuardedDeployments(self._gate, self._gate.r.deployments)

    @property
    def workflows(self) -> Workflows:
        return GuardedWorkflows(self._gate, self._gate.r.workflows)

    @property
    def records(self) -> Records:
        return GuardedRecords(self._gate, self._gate.r.records)

    @property
    def experiments(self) -> Experiments:
        return GuardedExperiments(self._gate, self._gate.r.experiments)

    @property
    def runs(self) -> Runs:
        return GuardedRuns(self._gate, self._gate.r.runs)

    @property
    def metrics(self) -> Metrics:
        return GuardedMetrics(self._gate, self._gate.r.metrics)

    @property
    def run_links(self) -> RunLinks:
        return GuardedRunLinks(self._gate, self._gate.r.run_links)

    @property
    def run_listings(self) -> RunListings:
        return GuardedRunListings(self._gate, self._gate.r.run_listings)

    @property
    def run_overview(self) -> RunOverview:
        return GuardedRunOverview(self._gate, self._gate.r.run_overview)

    @property
    def logged_models(self) -> LoggedModels:
        return GuardedLoggedModels(self._gate, self._gate.r.logged_models)

    @property
    def artifacts(self) -> Artifacts:
        return GuardedArtifacts(self._gate, self._gate.r.artifacts)

    @property
    def traces(self) -> Traces:
        return GuardedTraces(self._gate, self._gate.r.traces)

    @property
    def spans(self) -> Spans:
        return GuardedSpans(self._gate, self._gate.r.spans)

    @property
    def assessments(self) -> Assessments:
        return GuardedAssessments(self._gate, self._gate.r.assessments)

    @property
    def trace_links(self) -> TraceLinks:
        return GuardedTraceLinks(self._gate, self._gate.r.trace_links)

    @property
    def trace_statistics(self) -> TraceStatistics:
        return GuardedTraceStatistics(self._gate, self._gate.r.trace_statistics)

    @property
    def evaluation_datasets(self) -> EvaluationDatasets:
        return GuardedEvaluationDatasets(self._gate, self._gate.r.evaluation_datasets)

    @property
    def evaluation_records(self) -> EvaluationRecords:
        return GuardedEvaluationRecords(self._gate, self._gate.r.evaluation_records)

    @property
    def gateway_endpoints(self) -> GatewayEndpoints:
        return GuardedGatewayEndpoints(self._gate, self._gate.r.gateway_endpoints)

    @property
    def scorers(self) -> Scorers:
        return GuardedScorers(self._gate, self._gate.r.scorers)

    @property
    def registry_upkeep(self) -> RegistryUpkeep:
        return GuardedRegistryUpkeep(self._gate, self._gate.r.registry_upkeep)

    @property
    def tracking_upkeep(self) -> TrackingUpkeep:
        return GuardedTrackingUpkeep(self._gate, self._gate.r.tracking_upkeep)

    @property
    def imports(self) -> Imports:
        return GuardedImports(self._gate, self._gate.r.imports)

    @property
    def stage_history(self) -> StageHistory:
        return GuardedStageHistory(self._gate, self._gate.r.stage_history)

    @property
    def run_tables(self) -> RunTables:
        return GuardedRunTables(self._gate, self._gate.r.run_tables)

    @property
    def gateway_secrets(self) -> GatewaySecrets:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.gateway_secrets

    @property
    def model_definitions(self) -> ModelDefinitions:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.model_definitions

    @property
    def endpoint_bindings(self) -> EndpointBindings:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.endpoint_bindings

    @property
    def blob_references(self) -> BlobReferences:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.blob_references

    @property
    def projects(self) -> Projects:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.projects

    @property
    def users(self) -> Users:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.users

    @property
    def tokens(self) -> Tokens:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.tokens

    @property
    def roles(self) -> Roles:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.roles

    @property
    def audit(self) -> AuditLog:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.audit

    @property
    def webhooks(self) -> Webhooks:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.webhooks

    @property
    def webhook_deliveries(self) -> WebhookDeliveries:
        self._gate.everywhere(Access.OWN)
        return self._gate.r.webhook_deliveries

    @property
    def studies(self) -> Studies:
        return GuardedStudies(self._gate, self._gate.r.studies)

    @property
    def trials(self) -> Trials:
        return GuardedTrials(self._gate, self._gate.r.trials)
