"""The parts that know what was answered, with what, and what came of it: where `why` and `hindsight` look."""

from __future__ import annotations

from dataclasses import dataclass

from hanok.core.clock import Clock
from hanok.engine.declared import Declared
from hanok.engine.executors.inline import Executing
from hanok.engine.own_code import OwnCodes
from hanok.engine.references import References
from hanok.parts.access import GuardedMetadata, GuardedTables
from hanok.parts.features.service import Features
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.service import Serving
from hanok.parts.training.service import Training


@dataclass(frozen=True, slots=True)
class Evidence:
    """Made of an App by `parts.find`."""

    metadata: GuardedMetadata
    tables: GuardedTables
    features: Features
    serving: Serving
    packages: Packages
    training: Training
    monitoring: Monitoring
    alerts: Alerts
    references: References
    declared: Declared
    own_codes: OwnCodes
    executing: Executing
    clock: Clock
