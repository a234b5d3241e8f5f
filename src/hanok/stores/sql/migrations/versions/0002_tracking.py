"""Experiments, runs, metrics, logged models, the artifact tree. Instants are microseconds, metric timestamps
milliseconds UTC. Points are keyed by integers; NaN stands as 0 with `nan` = 1, because SQLite has no NaN."""

import time
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Text, Big, Int, Float = sa.Text, sa.BigInteger, sa.Integer, sa.Double


def _c(name: str, kind: Any, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, **options)


def _serial() -> sa.Column[Any]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("key", kind, primary_key=True, autoincrement=True)


def upgrade() -> None:
    _experiments_and_runs()
    _metrics()
    _datasets()
    _logged_models()
    op.create_table(
        "artifact",
        _c("folder", Text),
        _c("name", Text),
        _c("digest", Text),
        _c("size_bytes", Big),
        _c("at", Big),
        sa.PrimaryKeyConstraint("folder", "name"),
        sqlite_with_rowid=False,
    )
    op.create_index("artifact_digest", "artifact", ["digest"])


def _experiments_and_runs() -> None:
    op.create_table(
        "experiment",
        _serial(),
        _c("name", Text, unique=True),
        _c("location", Text),
        _c("lifecycle", Text),
        _c("created", Big),
        _c("updated", Big),
        _c("tags", Text),
    )
    now = time.time_ns() // 1000  # a home is made by a person, now; no replay ever runs this line
    op.execute(
        sa.text(
            "INSERT INTO experiment (key, name, location, lifecycle, created, updated, tags) "
            "VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', :now, :now, '{}')"
        ).bindparams(now=now)
    )
    op.create_table(
        "run",
        _serial(),
        _c("id", Text, unique=True),
        _c("experiment", Big),
        _c("name", Text),
        _c("status", Text),
        _c("lifecycle", Text),
        _c("user_name", Text),
        _c("started", Big),
        _c("ended", Big, nullable=True),
        _c("artifact_uri", Text),
        sa.ForeignKeyConstraint(["experiment"], ["experiment.key"]),
    )
    op.create_index("run_experiment_started", "run", ["experiment", "lifecycle", "started"])
    for table in ("run_param", "run_tag"):
        op.create_table(
            table,
            _c("run", Big),
            _c("key", Text),
            _c("value", Text),
            sa.PrimaryKeyConstraint("run", "key"),
            sqlite_with_rowid=False,
        )


def _metrics() -> None:
    op.create_table("metric_key", _serial(), _c("name", Text, unique=True))
    columns = [("run", Big), ("key", Big), ("step", Big), ("timestamp_ms", Big), ("value", Float), ("nan", Int)]
    op.create_table(
        "metric_point",
        *(_c(name, kind) for name, kind in columns),
        sa.PrimaryKeyConstraint(*(name for name, _ in columns)),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "metric_latest",
        *(_c(name, kind) for name, kind in columns),
        sa.PrimaryKeyConstraint("run", "key"),
        sqlite_with_rowid=False,
    )


def _datasets() -> None:
    op.create_table(
        "dataset",
        _c("id", Text, primary_key=True),
        _c("name", Text),
        _c("digest", Text),
        _c("source_type", Text),
        _c("source", Text),
        _c("schema", Text),
        _c("profile", Text),
    )
    op.create_table(
        "run_dataset",
        _c("run", Big),
        _c("dataset", Text),
        _c("context", Text),
        _c("tags", Text),
        sa.PrimaryKeyConstraint("run", "dataset"),
    )
    op.create_table(
        "run_model",
        _c("run", Big),
        _c("direction", Text),
        _c("model_id", Text),
        _c("step", Big),
        sa.PrimaryKeyConstraint("run", "direction", "model_id"),
    )


def _logged_models() -> None:
    op.create_table(
        "logged_model",
        _c("id", Text, primary_key=True),
        _c("experiment", Big),
        _c("name", Text),
        _c("artifact_uri", Text),
        _c("created", Big),
        _c("updated", Big),
        _c("status", Text),
        _c("model_type", Text),
        _c("source_run_id", Text),
        _c("lifecycle", Text),
        _c("params", Text),
        _c("tags", Text),
    )
    op.create_index("logged_model_experiment", "logged_model", ["experiment", "created"])
    op.create_table(
        "logged_model_metric",
        _c("model_id", Text),
        _c("run_id", Text),
        _c("name", Text),
        _c("step", Big),
        _c("timestamp_ms", Big),
        _c("value", Float),
        _c("nan", Int),
        _c("dataset_name", Text),
        _c("dataset_digest", Text),
        sa.PrimaryKeyConstraint(
            "model_id", "run_id", "name", "step", "timestamp_ms", "value", "nan", "dataset_name", "dataset_digest"
        ),
    )
