"""The tracking room: one set of verbs for each aggregate."""

from __future__ import annotations

from hanok.core.clock import Clock
from hanok.parts.tracking.artifacts import ArtifactVerbs
from hanok.parts.tracking.experiments import ExperimentVerbs
from hanok.parts.tracking.links import LinkVerbs
from hanok.parts.tracking.logged_models import LoggedModelVerbs
from hanok.parts.tracking.overview import OverviewVerbs
from hanok.parts.tracking.recording import RecordingVerbs
from hanok.parts.tracking.registry import RegistryVerbs
from hanok.parts.tracking.registry_history import RegistryHistory
from hanok.parts.tracking.runs import RunVerbs
from hanok.parts.tracking.upkeep import UpkeepVerbs
from hanok.parts.tracking.uploads import UploadVerbs
from hanok.stores.ports import Blobs, Metadata
from hanok.stores.ports_tracking import Uploads


class Tracking:
    """All methods are safe to call from any thread and block until what they wrote is durable.

    Without a store for `uploads` a file arrives in one piece.
    """

    def __init__(self, metadata: Metadata, blobs: Blobs, clock: Clock, *, uploads: Uploads | None = None) -> None:
        self.experiments = ExperimentVerbs(metadata, clock)
        self.runs = RunVerbs(metadata, clock)
        self.overview = OverviewVerbs(metadata)
        self.logged_models = LoggedModelVerbs(metadata, clock)
        self.registry = RegistryVerbs(metadata, clock)
        self.recording = RecordingVerbs(metadata, clock)
        self.upkeep = UpkeepVerbs(metadata, blobs, clock)
        self.registry_history = RegistryHistory(metadata, clock)
        self.artifacts = ArtifactVerbs(metadata, blobs, clock)
        self.links = LinkVerbs(metadata, clock)
        self.uploads = UploadVerbs(metadata, uploads, clock) if uploads is not None else None
