"""Traces with spans and assessments. A trace has an integer key inside; started_ms and duration_ms are milliseconds."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Text, Big, Int = sa.Text, sa.BigInteger, sa.Integer


def _c(name: str, kind: Any, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, **options)


def upgrade() -> None:
    op.create_table(
        "trace",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        _c("id", Text, unique=True),
        _c("experiment", Big),
        _c("started_ms", Big),
        _c("duration_ms", Big, nullable=True),
        _c("state", Text),
        _c("client_request_id", Text, nullable=True),
        _c("request_preview", Text, nullable=True),
        _c("response_preview", Text, nullable=True),
    )
    op.create_index("trace_experiment_started", "trace", ["experiment", "started_ms"])
    for table in ("trace_tag", "trace_metadata"):
        op.create_table(
            table,
            _c("trace", Big),
            _c("key", Text),
            _c("value", Text),
            sa.PrimaryKeyConstraint("trace", "key"),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "trace_run",
        _c("run_id", Text),
        _c("trace_id", Text),
        sa.PrimaryKeyConstraint("run_id", "trace_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("trace_run_trace", "trace_run", ["trace_id"])
    op.create_table(
        "trace_prompt",
        _c("name", Text),
        _c("version", Text),
        _c("trace", Big),
        sa.PrimaryKeyConstraint("name", "version", "trace"),
        sqlite_with_rowid=False,
    )
    op.create_index("trace_prompt_trace", "trace_prompt", ["trace"])
    op.create_table(
        "span",
        _c("trace", Big),
        _c("id", Text),
        _c("parent_id", Text),
        _c("name", Text),
        _c("kind", Text),
        _c("status", Text),
        _c("started_ns", Big),
        _c("ended_ns", Big, nullable=True),
        _c("model", Text, nullable=True),
        _c("provider", Text, nullable=True),
        _c("content", Text),
        sa.PrimaryKeyConstraint("trace", "id"),
    )
    op.create_table(
        "span_number",
        _c("trace", Big),
        _c("span", Text),
        _c("name", Text),
        _c("value", sa.Double),
        sa.PrimaryKeyConstraint("trace", "span", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "trace_number",
        _c("trace", Big),
        _c("name", Text),
        _c("value", sa.Double),
        sa.PrimaryKeyConstraint("trace", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "assessment",
        _c("id", Text, primary_key=True),
        _c("trace", Big),
        _c("name", Text),
        _c("kind", Text),
        _c("value", Text),
        _c("number", sa.Double, nullable=True),
        _c("valid", Int),
        _c("created_ms", Big),
        _c("updated_ms", Big),
        _c("rest", Text),
    )
    op.create_index("assessment_trace", "assessment", ["trace"])
    op.create_index("assessment_name", "assessment", ["kind", "name"])
