"""The composition root: opens the stores of a home and hands each part what it needs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from hanok.compute.drift import Reference
from hanok.compute.duck import arrow, connect, quoted
from hanok.compute.frames import Frame
from hanok.core.access import SYSTEM, acting
from hanok.core.clock import Clock, SystemClock
from hanok.core.declare import AutoML, FeatureView, Model, Project, as_dict
from hanok.core.errors import ConfigError
from hanok.core.lineage import Event
from hanok.core.tables import SEQUENCE
from hanok.core.validation import CheckResult
from hanok.engine.bus import Bus
from hanok.engine.config import Config
from hanok.engine.home import Home
from hanok.engine.notify import Outbound, send
from hanok.engine.project import load_project
from hanok.engine.shared import claim_data, not_here, sqlite_file
from hanok.engine.skew import FOLD_ROWS, fold, serving_state
from hanok.engine.skew_watch import watch
from hanok.parts.access import AccessVerbs, Directory, GuardedMetadata, GuardedTables
from hanok.parts.automl import service as automl
from hanok.parts.features.service import Features
from hanok.parts.monitoring.alerts import INFO, Alerts
from hanok.parts.monitoring.service import Monitoring
from hanok.parts.serving.log import FEATURE, TABLE, PredictionLog
from hanok.parts.serving.packages import Packages
from hanok.parts.serving.service import Serving, key_text
from hanok.parts.tracking.artifacts import Places
from hanok.parts.tracking.service import Tracking
from hanok.parts.training import pipeline
from hanok.parts.training.durable import Durable
from hanok.parts.training.service import Training
from hanok.parts.validation.service import Validation
from hanok.stores.blobs import LocalBlobs, LocalFolder, LocalUploads, folder_of
from hanok.stores.delta import DeltaTables
from hanok.stores.lmdb import LmdbOnlineValues
from hanok.stores.ports import Repositories
from hanok.stores.sealing import FernetSealer
from hanok.stores.sql import SqlMetadata
from hanok.wire.mlflow.webhooks import KINDS

MISSING_GAIN = 0.1  # of a model's gain may be missing before its estimates are withheld
EARLIER_LABELS = 4_000  # how far back a label is looked for that came before its prediction


def artifact_places(root: str, base: Path) -> Places:
    """Where artifacts of new experiments go: `root` is a URI, or a path on this machine; "" means inside the home.

    Raises ConfigError for a root that is neither.
    """
    if not root:
        return Places(base=base)
    path = folder_of(root)
    if path is not None:
        return Places(f"{Path(path).as_uri()}/", LocalFolder(Path(path)), base)
    if "://" not in root or root.startswith("file:"):
        raise ConfigError(f"artifact_root is {root!r}: it must be an absolute path or a URI such as s3://bucket/runs")
    return Places(f"{root.rstrip('/')}/", None, base)


class App:
    """One open home with all parts. Close it when done."""

    def __init__(self, config: Config, *, clock: Clock | None = None, project: Project | None = None) -> None:
        self.config = config
        self.home = Home(config.home)
        self.home.acquire()
        self.clock: Clock = clock or self.home.clock()
        try:
            self._open_stores()
            self._build_parts()
            self._connect_parts()
            path = config.project or self.home.project()
            if project is None and path is not None:
                project = load_project(path)
                self.home.note_project(path)
            if project is not None:
                self.apply(project)
        except BaseException:
            self.home.release()
            raise

    def _open_stores(self) -> None:
        url = self.config.metadata_url
        file = sqlite_file(url)
        if file is not None:
            self.home.acquire_database(file)
        self.directory = Directory()
        self.metadata = GuardedMetadata(SqlMetadata(url) if url else SqlMetadata.at(self.home.database), self.directory)
        self.data_home: Mapping[str, Any] = {"home": str(self.home.root)}
        self.keeps_data = True
        if url and file is None:
            identity, now = self.home.identity(), SystemClock().now()
            self.data_home = claim_data(self.metadata.inner, identity, self.home.root, now)
            self.keeps_data = self.data_home["identity"] == identity
        self.blobs = LocalBlobs(self.home.blobs)
        self.tables = GuardedTables(DeltaTables(self.home.tables), self.metadata)
        self.online = LmdbOnlineValues(self.home.online)

    def _build_parts(self) -> None:
        metadata, clock = self.metadata, self.clock
        uploads = LocalUploads(self.home.uploads, self.blobs)
        places = artifact_places(self.config.artifact_root, Path.cwd())
        self.outbound = Outbound(allow_private=self.config.webhooks_allow_private)
        sealer = FernetSealer(self.home.secrets_key, self.config.secrets_key)
        self.tracking = Tracking(
            metadata, self.blobs, clock, places, uploads=uploads, sender=self.outbound, sealer=sealer
        )
        self.access = AccessVerbs(metadata.inner, self.directory, clock)
        self.features = Features(metadata=metadata, tables=self.tables, online=self.online, clock=clock)
        self.validation = Validation(metadata=metadata, tables=self.tables, blobs=self.blobs, clock=clock)
        self.validation.declared.serving_state = partial(serving_state, self)
        self.packages = Packages(self.blobs)
        self.log = PredictionLog(self.home.log, self.tables, started=SystemClock().now())
        self.serving = Serving(metadata=metadata, packages=self.packages, log=self.log, clock=clock)
        self.alerts = Alerts(metadata=metadata, clock=clock)
        self.monitoring = Monitoring(metadata=metadata, tables=self.tables, alerts=self.alerts, clock=clock)
        self.durable = Durable(metadata=metadata, clock=clock, exclusive=not self.config.metadata_url)
        tools = pipeline.Tools(
            metadata,
            self.blobs,
            clock,
            _TrainingSets(self),
            _Searcher(),
            self.packages,
            self.tracking.runs,
            self.tracking.registry,
        )
        self.training = Training(
            tools=tools,
            durable=self.durable,
            deployer=self.serving,
            performance=self.monitoring,
            experiment_of=lambda name: self.tracking.experiments.ensure(name).id,
            label_rows=self.tables.size,
        )

    def _connect_parts(self) -> None:
        self.bus = Bus(self.metadata)
        if not self.keeps_data:  # reactions need the tables; the server that has them runs them
            return
        self.bus.on("online-values", {"batch_ingested"}, self._push_online)
        self.bus.on("data-alerts", {"batch_ingested"}, self._alert_on_data)
        self.bus.on("labels", {"batch_ingested"}, self._join_labels)
        self.bus.on("webhooks", {"alert_raised", "alert_resolved"}, self._tell)
        self.telling = threading.Lock()  # held by whoever tells, and by a test that empties the store
        self.registry_bus = Bus(self.metadata)  # by itself: its reaction is quick, and is waited for
        self.registry_bus.on("registry-webhooks", KINDS, self.tracking.webhooks.enqueue)
        self.bus.on("labels-that-came-first", {"batch_predicted"}, self._join_earlier_labels)

    # -- declarations ----------------------------------------------------------------------------------------

    def plan(self, project: Project) -> list[dict[str, Any]]:
        """What `apply` would change: kind, name, and new, changed or unchanged."""

        def change(kind: str, item: FeatureView | Model) -> str:
            newest = self.metadata.read(lambda r: r.declarations.newest(kind, item.name))
            if newest is None:
                return "new"
            return "unchanged" if newest[1] == as_dict(item) else "changed"

        return [
            {"kind": kind, "name": item.name, "change": change(kind, item)}
            for kind, items in (("feature_view", project.views), ("model", project.models))
            for item in items
        ]

    def apply(self, project: Project) -> list[dict[str, Any]]:
        """Record the project's declarations; returns what changed."""
        changes = self.plan(project)
        for view in project.views:
            self.features.apply(view)
        for model in project.models:
            self.training.apply(model)
            self.tracking.registry.ensure_model(model.name)
        for change in changes:
            if change["kind"] == "feature_view" and change["change"] != "unchanged":
                view = self.features.view(change["name"])
                if self.tables.size(view.source.table):
                    self.features.materialize(view.name)
        self.project = project
        return changes

    # -- verbs that join parts -------------------------------------------------------------------------------

    def ingest(
        self,
        table: str,
        rows: pa.Table,
        *,
        key: str,
        arrived: Any = None,
        keys: Sequence[str] = (),
        event_time: str = "",
        slices: Sequence[str] = (),
        actor: str = "local",
    ) -> CheckResult:
        """Check and append a batch, with keys and event time from the declarations where they are not given."""
        if not self.keeps_data:
            raise not_here(self.data_home)
        event_time = event_time or self._event_time(table)
        keys = keys or self._keys(table)
        return self.validation.ingest(
            table, rows, key=key, arrived=arrived, keys=keys, event_time=event_time, slices=slices, actor=actor
        )

    def predict_entity(self, name: str, match: Mapping[str, Any]) -> dict[str, Any]:
        """Predict the spine row that has the given values, with features read online."""
        model = self.training.model(name)
        row = self.features.find_spine_row(model, match)
        features = self.features.online_features(model, row)
        entity = {k: row[k] for k in self.features.spine_keys(model)}
        answer = self.serving.predict(name, {k: [v] for k, v in features.items()}, entity=_texts(entity))[0]
        return {**asdict(answer), "model": name, "entity": _texts(entity), "features": features}

    def predict_window(self, name: str, start: datetime, end: datetime, *, key: str) -> list[str]:
        """Predict every spine row due in [start, end) in bulk, with features as they were known at each instant."""
        model = self.training.model(name)
        spine = self.features.spine_rows(model, start=start, end=end)
        if not spine.num_rows:
            return []
        return self.serving.predict_batch(name, self.features.historical(model, spine), key=key)

    def measure(self, name: str, day: datetime, *, days_back: int = 2, least: int = FOLD_ROWS) -> None:
        """Performance of the last days whose labels may have come, the drift of `day`, and the skew of the week once
        `least` answers have gathered."""
        from datetime import timedelta

        folded = fold(self, name, least=least)
        model = self.training.model(name)
        days = [day - timedelta(days=i) for i in range(days_back, -1, -1)]
        answers = self.monitoring.measure(name, model.task, days)
        deployment = self.serving.deployment(name)
        if deployment is None:
            return
        version = self.training.version(name, deployment.primary)
        references = self.references(version.facts.get("reference", ""))
        live = self.packages.load(version.package)
        importance = live.notes.get("importance")
        if not importance:  # not known: every feature may matter
            importance = {r.column: 1 / len(references) for r in references}
        report = self.monitoring.drift(
            name, version.id, references, importance, live, start=day, end=day + timedelta(days=1)
        )
        if folded:
            watch(self, name, importance)
        self.monitoring.estimates.follow(name, model.task, answers, day, self._doubts(model, report or {}))

    def _doubts(self, model: Model, report: Mapping[str, Any]) -> list[str]:
        """Why what came in that day cannot be trusted to mean what it meant before."""
        missing = [f for f in report.get("features", ()) if f["missing"]]
        gone = [f["feature"] for f in missing] if sum(f["importance"] for f in missing) > MISSING_GAIN else []
        silent = [
            a["subject"]
            for a in self.alerts.list(state="open", limit=1000)
            if a["kind"] == "feed" and a["subject"] in model.tables
        ]
        return [
            *([f"{', '.join(gone[:3])}{' and more' * (len(gone) > 3)} missing"] if gone else []),
            *(f"{table} has fallen silent" for table in silent),
        ]

    def live_references(self, name: str) -> list[Reference]:
        """The reference distributions of the version that answers; none when nothing does."""
        deployment = self.serving.deployment(name)
        return (
            []
            if deployment is None
            else self.references(self.training.version(name, deployment.primary).facts.get("reference", ""))
        )

    def measure_live(self) -> None:
        """Once an hour: performance of the last days and drift of today, for everything that serves."""
        now = self.clock.now()
        hour = {"hour": f"{now:%Y-%m-%dT%H}"}
        done = self.metadata.read(lambda r: {b["_name"]: b["hour"] for b in r.records.list("measured")})
        for name in (m.name for m in self.training.models() if self.serving.deployment(m.name)):
            if done.get(name) != hour["hour"]:
                self.serving.compact(everything=True)
                self.measure(name, now.replace(hour=0, minute=0, second=0, microsecond=0), days_back=7, least=1)
                self.metadata.write(partial(_put_record, "measured", name, "hour", hour, now))

    def references(self, digest: str) -> list[Reference]:
        """The reference distributions that a model version carries."""
        import orjson

        if not digest:
            return []
        with self.blobs.open(digest) as file:
            return [Reference.from_dict(body) for body in orjson.loads(file.read())]

    def tell_registry_webhooks(self) -> int:
        """Note what happened in the registry for those who asked, and send what is due; returns the attempts."""
        with self.telling:
            self.registry_bus.drain()
            return self.tracking.webhooks.send_due()

    def forget_old(self) -> None:
        """Uploads that nobody completed, and messages to webhooks that are over."""
        self.tracking.webhooks.forget_old()
        if self.tracking.uploads is not None:
            self.tracking.uploads.expire()

    def tick(self) -> list[Mapping[str, Any]]:
        """Drain events, look after the feeds, move rollouts on, retrain what is due, drain again."""
        self.bus.drain()
        self.check_feeds()
        done = self.advance()
        self.bus.drain()
        return done

    def check_feeds(self) -> None:
        """Alarm on tables that have fallen silent."""
        with acting(SYSTEM):
            for table in self._sources():
                self.monitoring.check_feed(table)

    def advance(self) -> list[Mapping[str, Any]]:
        """Move rollouts on and retrain what is due; returns what was done."""
        with acting(SYSTEM):
            return self.training.tick(predictions=self.predictions_since)

    def predictions_since(self, model: str, since: datetime) -> pa.Table:
        """version, error and microseconds of the answers since an instant."""
        if not self.tables.size(TABLE + model):
            return pa.table({"version": [], "error": [], "microseconds": []})
        with connect({"log": self.tables.scan(TABLE + model, since=since)}) as duck:
            return arrow(
                duck,
                "SELECT version, error, microseconds FROM log "
                f"WHERE \"at\" >= TIMESTAMPTZ '{since.isoformat()}' AND arm <> 'shadow'",
            )

    def logged_answers(self, model: str, version: int, *, limit: int) -> pa.Table:
        """The newest answers of a version: score and the features under their own names."""
        self.serving.compact()
        if not self.tables.size(TABLE + model):
            return pa.table({})
        scan = self.tables.scan(TABLE + model)
        names = [n for n in scan.schema.names if n.startswith(FEATURE)]
        chosen = ", ".join(f"{quoted(n)} AS {quoted(n.removeprefix(FEATURE))}" for n in names)
        with connect({"log": scan}) as duck:
            return arrow(
                duck,
                f"SELECT score, {chosen} FROM log WHERE version = {int(version)} "
                f"ORDER BY {SEQUENCE} DESC LIMIT {int(limit)}",
            )

    def backup(self, target: Path) -> Path:
        """A consistent copy of the whole home in one tar file."""
        from hanok.engine.backup import backup

        return backup(self, target)

    def close(self) -> None:
        """Flush and let go of everything, the lock last."""
        self.log.close()
        self.tables.close()
        self.online.close()
        self.metadata.close()
        self.home.release()

    # -- reactions -------------------------------------------------------------------------------------------

    def _push_online(self, event: Event) -> None:
        table, rows = event.facts["table"], self._batch(event)
        if rows is not None:
            self.features.push(table, rows)

    def _alert_on_data(self, event: Event) -> None:
        result = self.validation.result(event.facts["table"], event.facts["batch"])
        if result is not None:
            self.monitoring.batch_checked(result.table, result.batch, event.subject, result.anomalies)

    def _join_labels(self, event: Event) -> None:
        table, first, rows = event.facts["table"], event.facts["first"], event.facts["rows"]
        for model in self.training.models():
            if model.label.table == table and rows and self.serving.deployment(model.name):
                self.serving.compact(everything=True)
                self._join(
                    model, self.features.label_rows(model, first, first + rows), f"{table} {event.facts['batch']}"
                )

    def _tell(self, event: Event) -> None:
        """Send an alert to the webhooks of the models it concerns, and keep what came of it. What only informs is shown
        and not sent."""
        alert, now = event.facts, self.clock.now()
        if alert["severity"] == INFO:
            return
        for model in self.training.models():
            if model.alert is None or alert["subject"] not in (model.name, *model.tables):
                continue
            outcome = send(model.alert.url, alert, outbound=self.outbound)
            body = {"alert": alert["id"], "url": model.alert.url, "outcome": outcome, "event": event.kind}
            record = partial(_put_record, "webhook", model.name, str(event.sequence), body, now)
            self.metadata.write(record)

    def _join_earlier_labels(self, event: Event) -> None:
        """A label may come before the prediction that it is for is made."""
        model = next((m for m in self.training.models() if m.name == event.facts["model"]), None)
        if model is not None and (size := self.tables.size(model.label.table)):
            recent = self.features.label_rows(model, max(0, size - EARLIER_LABELS), size)
            self._join(model, recent, f"earlier {event.facts['key']}", batch=event.facts["key"])

    def _join(self, model: Model, labels: pa.Table, key: str, *, batch: str = "") -> None:
        keys = self.features.spine_keys(model)
        for name in keys:
            labels = labels.set_column(labels.column_names.index(name), name, key_text(labels.column(name)))
        signature = self.serving.model(model.name).signature
        self.monitoring.join_labels(model.name, signature, keys, labels, key=key, slices=model.gate.slices, batch=batch)

    def _batch(self, event: Event) -> pa.Table | None:
        table, first, rows = event.facts["table"], event.facts["first"], event.facts["rows"]
        if not rows or not any(v.source.table == table for v in self.features.views()):
            return None
        with connect({"source": self.tables.scan(table)}) as duck:
            return arrow(
                duck,
                f"SELECT * FROM source WHERE {SEQUENCE} >= {first} AND {SEQUENCE} < {first + rows} ORDER BY {SEQUENCE}",
            )

    def _sources(self) -> list[str]:
        tables = [v.source.table for v in self.features.views()]
        for model in self.training.models():
            tables += [model.spine.table, model.label.table]
        return list(dict.fromkeys(tables))

    def _event_time(self, table: str) -> str:
        for view in self.features.views():
            if view.source.table == table:
                return view.source.event_time
        for model in self.training.models():
            if model.label.table == table:
                return model.label.known_at
            if model.spine.table == table:
                return model.spine.predict_at.column
        return ""

    def _keys(self, table: str) -> tuple[str, ...]:
        for model in self.training.models():
            if model.spine.table == table and model.spine.keys:
                return model.spine.keys
        return ()


class _TrainingSets:
    """What training needs of features and of the prediction log."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.training_set = app.features.training_set
        self.record_training_set = app.features.record_training_set
        self.logged_answers = app.logged_answers


class _Searcher:
    """What training needs of AutoML."""

    def search(self, frame: Frame, settings: AutoML) -> automl.Search:
        return automl.search(frame, settings)

    def run_plan(self, frame: Frame, plan: Mapping[str, Any]) -> automl.Search:
        return automl.run_plan(frame, plan)

    def leaderboard(self, searched: automl.Search) -> Sequence[Mapping[str, Any]]:
        return automl.leaderboard_rows(searched)


def _put_record(
    kind: str, name: str, key: str, body: Mapping[str, Any], at: datetime, repositories: Repositories
) -> None:
    repositories.records.put(kind, name, key, body, at)


def _texts(entity: Mapping[str, Any]) -> dict[str, str]:
    """Entity keys as the log writes them."""
    return {k: key_text(pa.chunked_array([[v]]))[0].as_py() for k, v in entity.items() if v is not None}
