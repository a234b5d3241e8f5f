"""The contracts of the stores as test classes. An engine's test subclasses one and gives it an empty store.

class TestMyBlobs(BlobsContract):
    @pytest.fixture
    def store(self, tmp_path): return MyBlobs(tmp_path)

Each port has one contract, named after it. `METADATA` are those of the metadata store and all its aggregates.
"""

from hanok.stores.testing.access import (
    AuditLogContract,
    ProjectsContract,
    RolesContract,
    TokensContract,
    UsersContract,
    WebhookDeliveriesContract,
    WebhooksContract,
)
from hanok.stores.testing.evaluation import EvaluationDatasetsContract, EvaluationRecordsContract, ScorersContract
from hanok.stores.testing.files import BlobsContract, FolderContract, FramesContract, UploadsContract
from hanok.stores.testing.gateway import (
    EndpointBindingsContract,
    GatewayEndpointsContract,
    GatewaySecretsContract,
    ModelDefinitionsContract,
)
from hanok.stores.testing.logged import ArtifactsContract, LoggedModelsContract, MetricsContract
from hanok.stores.testing.metadata import (
    DeclarationsContract,
    LineageContract,
    MetadataContract,
    OutboxContract,
    RecordsContract,
)
from hanok.stores.testing.online import OnlineValuesContract
from hanok.stores.testing.registry import (
    DeploymentsContract,
    ImportsContract,
    RegistryContract,
    RegistryUpkeepContract,
    StageHistoryContract,
    WorkflowsContract,
)
from hanok.stores.testing.shared import NOW
from hanok.stores.testing.tables import TablesContract, rows, values
from hanok.stores.testing.traces import (
    AssessmentsContract,
    SpansContract,
    TraceLinksContract,
    TracesContract,
    TraceStatisticsContract,
)
from hanok.stores.testing.tracking import (
    ExperimentsContract,
    RunLinksContract,
    RunListingsContract,
    RunOverviewContract,
    RunsContract,
)
from hanok.stores.testing.tuning import StudiesContract, TrialsContract
from hanok.stores.testing.upkeep import BlobReferencesContract, RunTablesContract, TrackingUpkeepContract

METADATA = (
    ArtifactsContract,
    AssessmentsContract,
    AuditLogContract,
    BlobReferencesContract,
    DeclarationsContract,
    DeploymentsContract,
    EndpointBindingsContract,
    EvaluationDatasetsContract,
    EvaluationRecordsContract,
    ExperimentsContract,
    GatewayEndpointsContract,
    GatewaySecretsContract,
    ImportsContract,
    LineageContract,
    LoggedModelsContract,
    MetadataContract,
    MetricsContract,
    ModelDefinitionsContract,
    OutboxContract,
    ProjectsContract,
    RecordsContract,
    RegistryContract,
    RegistryUpkeepContract,
    RolesContract,
    RunLinksContract,
    RunListingsContract,
    RunOverviewContract,
    RunTablesContract,
    RunsContract,
    ScorersContract,
    SpansContract,
    StageHistoryContract,
    StudiesContract,
    TokensContract,
    TraceLinksContract,
    TraceStatisticsContract,
    TracesContract,
    TrackingUpkeepContract,
    TrialsContract,
    UsersContract,
    WebhookDeliveriesContract,
    WebhooksContract,
    WorkflowsContract,
)

__all__ = [
    "METADATA",
    "NOW",
    "ArtifactsContract",
    "AssessmentsContract",
    "AuditLogContract",
    "BlobReferencesContract",
    "BlobsContract",
    "DeclarationsContract",
    "DeploymentsContract",
    "EndpointBindingsContract",
    "EvaluationDatasetsContract",
    "EvaluationRecordsContract",
    "ExperimentsContract",
    "FolderContract",
    "FramesContract",
    "GatewayEndpointsContract",
    "GatewaySecretsContract",
    "ImportsContract",
    "LineageContract",
    "LoggedModelsContract",
    "MetadataContract",
    "MetricsContract",
    "ModelDefinitionsContract",
    "OnlineValuesContract",
    "OutboxContract",
    "ProjectsContract",
    "RecordsContract",
    "RegistryContract",
    "RegistryUpkeepContract",
    "RolesContract",
    "RunLinksContract",
    "RunListingsContract",
    "RunOverviewContract",
    "RunTablesContract",
    "RunsContract",
    "ScorersContract",
    "SpansContract",
    "StageHistoryContract",
    "StudiesContract",
    "TablesContract",
    "TokensContract",
    "TraceLinksContract",
    "TraceStatisticsContract",
    "TracesContract",
    "TrackingUpkeepContract",
    "TrialsContract",
    "UploadsContract",
    "UsersContract",
    "WebhookDeliveriesContract",
    "WebhooksContract",
    "WorkflowsContract",
    "rows",
    "values",
]
