"""The tracking room: one set of verbs for each aggregate."""

from __future__ import annotations

from hanok.core.clock import Clock
from hanok.parts.tracking.artifacts import ArtifactVerbs
from hanok.parts.tracking.experiments import ExperimentVerbs
from hanok.parts.tracking.logged_models import LoggedModelVerbs
from hanok.parts.tracking.registry import RegistryVerbs
from hanok.parts.tracking.runs import RunVerbs
from hanok.stores.ports import Blobs, Metadata


class Tracking:
    """All methods are safe to call from any thread and block until what they wrote is durable."""

    def __init__(self, metadata: Metadata, blobs: Blobs, clock: Clock) -> None:
        self.experiments = ExperimentVerbs(metadata, clock)
        self.runs = RunVerbs(metadata, clock)
        self.logged_models = LoggedModelVerbs(metadata, clock)
        self.registry = RegistryVerbs(metadata, clock)
        self.artifacts = ArtifactVerbs(metadata, blobs, clock)
