"""The composition root: opens a home and joins its parts into one `App`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hanok.core.clock import Clock, SystemClock
from hanok.core.declare import Project
from hanok.core.errors import DeclarationError
from hanok.engine.alike import Alike
from hanok.engine.approving import approvals
from hanok.engine.bus import Bus
from hanok.engine.config import Config
from hanok.engine.declared import Declared
from hanok.engine.declaring import Declaring
from hanok.engine.executors.foreign import ForeignModels
from hanok.engine.executors.inline import Executing
from hanok.engine.home import Home
from hanok.engine.ingesting import Ingesting
from hanok.engine.labelling import Labelling
from hanok.engine.own_code import OwnCodes
from hanok.engine.predicting import Answers, DeclaredKeys, Predicting, typical_of
from hanok.engine.reactions import Reactions
from hanok.engine.references import References
from hanok.engine.rehearsing import Rehearsals
from hanok.engine.skew import Skew
from hanok.engine.sources import Sources
from hanok.engine.stores import Stores, open_stores
from hanok.engine.training import TrainingSets
from hanok.engine.tuning import TrialRuns
from hanok.engine.upkeep import Upkeep
from hanok.engine.watching import Watching
from hanok.parts.access import AccessVerbs, Directory, GuardedMetadata, GuardedTables
from hanok.parts.features.service import Features
from hanok.parts.monitoring.alerts import Alerts
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.serving.log import PredictionLog
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.service import Serving
from hanok.parts.tracking.service import Tracking
from hanok.parts.training import pipeline
from hanok.parts.training.durable import Durable
from hanok.parts.training.service import Training
from hanok.parts.tuning.service import Tuning
from hanok.parts.validation.service import Validation
from hanok.stores.blobs import LocalBlobs
from hanok.stores.lmdb import LmdbOnlineValues
from hanok.wire.mlflow.webhooks import KINDS

TYPICAL_OF = 200  # answers, where nothing is known of what a version was trained on


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class App:
    """One open home: its engines, its parts, and what joins them. Close it when done."""

    config: Config
    home: Home
    clock: Clock
    # engines
    directory: Directory
    metadata: GuardedMetadata
    blobs: LocalBlobs
    tables: GuardedTables
    online: LmdbOnlineValues
    keeps_data: bool
    # parts
    access: AccessVerbs
    tracking: Tracking
    features: Features
    validation: Validation
    serving: Serving
    packages: Packages
    log: PredictionLog
    monitoring: Monitoring
    alerts: Alerts
    training: Training
    durable: Durable
    executing: Executing
    tuning: Tuning
    # joins of parts
    bus: Bus
    registry_bus: Bus | None
    declared: Declared
    own_codes: OwnCodes
    declaring: Declaring
    ingesting: Ingesting
    labelling: Labelling
    predicting: Predicting
    answers: Answers
    references: References
    rehearsals: Rehearsals
    skew: Skew
    watching: Watching
    upkeep: Upkeep

    def close(self) -> None:
        """Flush and let go of everything, the lock last."""
        self.serving.close()
        self.packages.close()
        self.tables.close()
        self.online.close()
        self.metadata.close()
        self.home.release()


def open_app(config: Config, *, clock: Clock | None = None, project: Project | None = None, apply: bool = True) -> App:
    """Open a home and apply its project: the one given, else the file that the settings name, else the one that was
    applied last. A file that is refused stops no home: what was applied last goes on (see `Declaring.open`). Without
    `apply` nothing is declared yet: that is left to the verb which says what changes. Raises HomeLocked, ConfigError,
    DeclarationError for a project that is given or a file that is not there."""
    home = Home(config.home)
    home.acquire()
    try:
        app = _joined(config, home, clock or home.clock(), open_stores(config, home))
        path = config.project or home.project()
        if apply and project is not None:
            app.declaring.given(project)
        elif apply and path is not None:
            if not path.exists():
                raise DeclarationError(f"there is no project file {path}; 'hanok init' writes one")
            if app.declaring.open(path):
                home.note_project(path)
        app.training.close_interrupted()
    except BaseException:
        home.release()
        raise
    return app


def _joined(config: Config, home: Home, clock: Clock, stores: Stores) -> App:
    metadata, tables, blobs, online = stores.metadata, stores.tables, stores.blobs, stores.online
    tracking = Tracking(
        metadata,
        blobs,
        clock,
        stores.places,
        uploads=stores.uploads,
        sender=stores.outbound,
        sealer=stores.sealer,
    )
    features = Features(metadata=metadata, tables=tables, online=online, clock=clock)
    validation = Validation(metadata=metadata, tables=tables, blobs=blobs, clock=clock)
    packages = Packages(blobs, ForeignModels(home.root / "hanok-models", approvals(metadata)))
    log = PredictionLog(home.log, tables, started=SystemClock().now())
    serving = Serving(metadata=metadata, packages=packages, log=log, clock=clock)
    alerts = Alerts(metadata=metadata, clock=clock)
    monitoring = Monitoring(metadata=metadata, tables=tables, alerts=alerts, clock=clock)
    executing = Executing(home.searches)
    durable = Durable(metadata=metadata, clock=clock, exclusive=not config.metadata_url)
    answers = Answers(serving=serving, tables=tables)
    training = Training(
        tools=pipeline.Tools(
            metadata,
            blobs,
            clock,
            TrainingSets(features, metadata=metadata, tables=tables, blobs=blobs, clock=clock),
            executing,
            packages,
            tracking.runs,
            tracking.registry,
        ),
        durable=durable,
        deployer=serving,
        performance=monitoring,
        answered=answers,
        alarms=alerts,
        experiment_of=lambda name: tracking.experiments.ensure(name).id,
        label_rows=tables.size,
    )
    declared = Declared(training=training, metadata=metadata)
    keys = DeclaredKeys(training=training, features=features, tables=tables, serving=serving, declared=declared)
    serving.keys = keys
    alike = Alike(serving=serving, declared=declared)
    references = References(blobs=blobs, serving=serving, training=training)
    serving.typical = lambda name, version: (
        references.typical(name, version) or typical_of(answers.of_version(name, version, limit=TYPICAL_OF))
    )
    skew = Skew(
        metadata=metadata,
        tables=tables,
        blobs=blobs,
        validation=validation,
        serving=serving,
        training=training,
        references=references,
        watch=monitoring.skew,
        declared=declared,
        alike=alike,
        clock=clock,
    )
    validation.declared.serving_state = skew.serving_state
    sources = Sources()
    features.spines.overlay = validation.overlay = sources.overlay
    ingesting = Ingesting(
        validation=validation,
        sources=sources,
        features=features,
        training=training,
        elsewhere=None if stores.keeps_data else stores.data_home,
    )
    validation.identifying = ingesting.identifying
    labelling = Labelling(
        tables=tables,
        features=features,
        validation=validation,
        serving=serving,
        training=training,
        monitoring=monitoring,
        ingesting=ingesting,
        declared=declared,
        clock=clock,
    )
    watching = Watching(
        metadata=metadata,
        features=features,
        serving=serving,
        packages=packages,
        training=training,
        monitoring=monitoring,
        alerts=alerts,
        references=references,
        skew=skew,
        labelling=labelling,
        declared=declared,
        alike=alike,
        clock=clock,
    )
    bus, registry_bus = Bus(metadata), None
    if stores.keeps_data:  # reactions need the tables; the server that has them runs them
        Reactions(
            metadata=metadata,
            tables=tables,
            features=features,
            validation=validation,
            training=training,
            monitoring=monitoring,
            labelling=labelling,
            declared=declared,
            outbound=stores.outbound,
            clock=clock,
        ).connect_to(bus)
        registry_bus = Bus(metadata)
        registry_bus.on("registry-webhooks", KINDS, tracking.webhooks.enqueue)
    return App(
        config=config,
        home=home,
        clock=clock,
        directory=stores.directory,
        metadata=metadata,
        blobs=blobs,
        tables=tables,
        online=online,
        keeps_data=stores.keeps_data,
        access=AccessVerbs(metadata.inner, stores.directory, clock),
        tracking=tracking,
        features=features,
        validation=validation,
        serving=serving,
        packages=packages,
        log=log,
        monitoring=monitoring,
        alerts=alerts,
        training=training,
        durable=durable,
        executing=executing,
        tuning=Tuning(metadata, clock, TrialRuns()),
        bus=bus,
        registry_bus=registry_bus,
        declared=declared,
        own_codes=OwnCodes(metadata, blobs, training, lambda: _folder(config, home)),
        declaring=Declaring(
            metadata=metadata,
            tables=tables,
            features=features,
            training=training,
            tracking=tracking,
            declared=declared,
            sources=sources,
            alerts=alerts,
            clock=clock,
        ),
        ingesting=ingesting,
        labelling=labelling,
        predicting=Predicting(training=training, features=features, serving=serving, declared=declared, keys=keys),
        answers=answers,
        references=references,
        rehearsals=Rehearsals(),
        skew=skew,
        watching=watching,
        upkeep=Upkeep(
            bus=bus,
            registry_bus=registry_bus,
            watching=watching,
            training=training,
            tracking=tracking,
        ),
    )


def _folder(config: Config, home: Home) -> Path | None:
    path = project_file(config, home)
    return None if path is None else path.parent


def project_file(config: Config, home: Home) -> Path | None:
    """The file with the declarations: the one that the settings name, else the one that was applied last."""
    return config.project or home.project()
