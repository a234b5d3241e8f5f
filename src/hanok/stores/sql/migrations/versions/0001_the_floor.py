"""Lineage, events, declarations, registry, deployments, workflows, records. Instants are microseconds UTC."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Text, Big, Int = sa.Text, sa.BigInteger, sa.Integer


def _c(name: str, kind: Any, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, **options)


def upgrade() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "node",
        _c("id", Text, primary_key=True),
        _c("kind", Text),
        _c("name", Text),
        _c("created", Big),
        _c("facts", Text),
        _c("deleted", Big, nullable=True),
    )
    op.create_index("node_kind_name", "node", ["kind", "name", "created"])
    op.create_index("node_kind_created", "node", ["kind", "created"])
    op.create_table(
        "edge",
        _c("source", Text),
        _c("kind", Text),
        _c("target", Text),
        sa.PrimaryKeyConstraint("source", "kind", "target"),
    )
    op.create_index("edge_target", "edge", ["target"])
    op.create_table(
        "event",
        sa.Column("sequence", serial, primary_key=True, autoincrement=True),
        _c("kind", Text),
        _c("subject", Text),
        _c("at", Big),
        _c("facts", Text),
        sqlite_autoincrement=True,
    )
    op.create_table("cursor", _c("reaction", Text, primary_key=True), _c("sequence", Big))
    op.create_table(
        "declaration",
        _c("kind", Text),
        _c("name", Text),
        _c("version", Int),
        _c("digest", Text),
        _c("body", Text),
        _c("at", Big),
        sa.PrimaryKeyConstraint("kind", "name", "version"),
    )
    op.create_table(
        "registered_model",
        _c("name", Text, primary_key=True),
        _c("created", Big),
        _c("updated", Big),
        _c("description", Text),
        _c("tags", Text),
    )
    op.create_table(
        "model_version",
        _c("id", Text, unique=True),
        _c("model", Text),
        _c("version", Int),
        _c("created", Big),
        _c("updated", Big, nullable=True),
        _c("run_id", Text),
        _c("source", Text),
        _c("package", Text),
        _c("description", Text),
        _c("status", Text),
        _c("stage", Text),
        _c("tags", Text),
        _c("facts", Text),
        sa.PrimaryKeyConstraint("model", "version"),
        sa.ForeignKeyConstraint(["model"], ["registered_model.name"], onupdate="CASCADE", ondelete="CASCADE"),
    )
    op.create_index("model_version_run", "model_version", ["run_id"])
    op.create_table(
        "alias",
        _c("model", Text),
        _c("alias", Text),
        _c("version", Int),
        sa.PrimaryKeyConstraint("model", "alias"),
        sa.ForeignKeyConstraint(["model"], ["registered_model.name"], onupdate="CASCADE", ondelete="CASCADE"),
    )
    op.create_table(
        "alias_change",
        sa.Column("sequence", serial, primary_key=True, autoincrement=True),
        _c("id", Text),
        _c("model", Text),
        _c("alias", Text),
        _c("before", Int, nullable=True),
        _c("after", Int, nullable=True),
        _c("at", Big),
        _c("actor", Text),
        _c("reason", Text),
    )
    op.create_index("alias_change_model", "alias_change", ["model", "alias"])
    op.create_table(
        "deployment",
        _c("name", Text),
        _c("generation", Int),
        _c("arms", Text),
        _c("at", Big),
        _c("actor", Text),
        _c("reason", Text),
        _c("node_id", Text),
        sa.PrimaryKeyConstraint("name", "generation"),
    )
    op.create_table(
        "workflow",
        _c("id", Text, primary_key=True),
        _c("kind", Text),
        _c("key", Text),
        _c("created", Big),
        _c("arguments", Text),
        _c("state", Text),
        _c("fence", Int),
        _c("owner", Text),
        _c("lease_until", Big, nullable=True),
        _c("result", Text),
        sa.UniqueConstraint("kind", "key"),
    )
    op.create_index("workflow_state", "workflow", ["state", "kind"])
    op.create_table(
        "step",
        _c("workflow_id", Text),
        _c("name", Text),
        _c("result", Text),
        _c("at", Big),
        _c("sequence", Int),
        sa.PrimaryKeyConstraint("workflow_id", "name"),
        sa.ForeignKeyConstraint(["workflow_id"], ["workflow.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "record",
        _c("kind", Text),
        _c("name", Text),
        _c("key", Text),
        _c("body", Text),
        _c("at", Big),
        sa.PrimaryKeyConstraint("kind", "name", "key"),
    )
    op.create_index("record_kind_at", "record", ["kind", "at"])
