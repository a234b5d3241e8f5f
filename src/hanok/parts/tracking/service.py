"""The tracking room: one set of verbs for each aggregate."""

from __future__ import annotations

from hanok.core.clock import Clock
from hanok.parts.tracking.artifacts import ArtifactVerbs, Places
from hanok.parts.tracking.assessments import AssessmentVerbs
from hanok.parts.tracking.evaluation import EvaluationVerbs
from hanok.parts.tracking.experiments import ExperimentVerbs
from hanok.parts.tracking.gateway import GatewaySecretVerbs, GatewayVerbs
from hanok.parts.tracking.links import LinkVerbs
from hanok.parts.tracking.logged_models import LoggedModelVerbs
from hanok.parts.tracking.needs import Sealer, Sender
from hanok.parts.tracking.overview import OverviewVerbs
from hanok.parts.tracking.recording import RecordingVerbs
from hanok.parts.tracking.registry import RegistryVerbs
from hanok.parts.tracking.registry_history import RegistryHistory
from hanok.parts.tracking.runs import RunVerbs
from hanok.parts.tracking.scorers import ScorerVerbs
from hanok.parts.tracking.trace_statistics import TraceStatisticVerbs
from hanok.parts.tracking.traces import TraceVerbs
from hanok.parts.tracking.upkeep import UpkeepVerbs
from hanok.parts.tracking.uploads import UploadVerbs
from hanok.parts.tracking.webhooks import WebhookVerbs
from hanok.stores.ports import Blobs, Metadata
from hanok.stores.ports_tracking import Uploads


class Tracking:
    """All methods are safe to call from any thread and block until what they wrote is durable.

    Without a store for `uploads` a file arrives in one piece; without a `sender` no webhook is sent;
    without a `sealer` no secret of a gateway is kept.
    """

    def __init__(
        self,
        metadata: Metadata,
        blobs: Blobs,
        clock: Clock,
        places: Places | None = None,
        *,
        uploads: Uploads | None = None,
        sender: Sender | None = None,
        sealer: Sealer | None = None,
    ) -> None:
        places = places or Places()
        self.experiments = ExperimentVerbs(metadata, clock, places)
        self.clock = clock
        self.runs = RunVerbs(metadata, clock)
        self.overview = OverviewVerbs(metadata)
        self.logged_models = LoggedModelVerbs(metadata, clock)
        self.traces = TraceVerbs(metadata, clock)
        self.assessments = AssessmentVerbs(metadata, clock)
        self.trace_statistics = TraceStatisticVerbs(metadata)
        self.evaluation = EvaluationVerbs(metadata, clock)
        self.scorers = ScorerVerbs(metadata, clock)
        self.gateway = GatewayVerbs(metadata, clock)
        self.gateway_secrets = GatewaySecretVerbs(metadata, clock, sealer)
        self.registry = RegistryVerbs(metadata, clock)
        self.recording = RecordingVerbs(metadata, clock)
        self.upkeep = UpkeepVerbs(metadata, blobs, clock)
        self.registry_history = RegistryHistory(metadata, clock)
        self.artifacts = ArtifactVerbs(metadata, blobs, clock, places)
        self.webhooks = WebhookVerbs(metadata, clock, sender)
        self.links = LinkVerbs(metadata, clock)
        self.uploads = UploadVerbs(metadata, uploads, clock) if uploads is not None else None

    def keep_artifacts_at(self, places: Places) -> None:
        """From now on the artifacts of new experiments go there."""
        self.experiments.places = self.artifacts.places = places
