"""The tracking repositories, one file each."""

from hanok.stores.sql.tracking_artifacts import SqlArtifacts
from hanok.stores.sql.tracking_experiments import SqlExperiments
from hanok.stores.sql.tracking_listing import SqlRunListings
from hanok.stores.sql.tracking_metrics import SqlMetrics
from hanok.stores.sql.tracking_models import SqlLoggedModels, SqlRegistryUpkeep
from hanok.stores.sql.tracking_overview import SqlRunOverview
from hanok.stores.sql.tracking_runs import SqlRunLinks, SqlRuns

__all__ = [
    "SqlArtifacts",
    "SqlExperiments",
    "SqlLoggedModels",
    "SqlMetrics",
    "SqlRegistryUpkeep",
    "SqlRunLinks",
    "SqlRunListings",
    "SqlRunOverview",
    "SqlRuns",
]
