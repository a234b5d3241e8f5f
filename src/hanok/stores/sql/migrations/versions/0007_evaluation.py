"""Evaluation datasets with their records, tags and experiments. Instants are microseconds."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

Text, Big, Int = sa.Text, sa.BigInteger, sa.Integer


def _c(name: str, kind: Any, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, **options)


def upgrade() -> None:
    op.create_table(
        "evaluation_dataset",
        _c("id", Text, primary_key=True),
        _c("name", Text),
        _c("digest", Text),
        _c("created", Big),
        _c("updated", Big),
        _c("created_by", Text),
        _c("updated_by", Text),
        _c("fields", Text, nullable=True),
        _c("records", Big),
    )
    op.create_index("evaluation_dataset_created", "evaluation_dataset", ["created"])
    op.create_table(
        "evaluation_tag",
        _c("dataset", Text),
        _c("key", Text),
        _c("value", Text),
        sa.PrimaryKeyConstraint("dataset", "key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "evaluation_experiment",
        _c("experiment", Big),
        _c("dataset", Text),
        sa.PrimaryKeyConstraint("experiment", "dataset"),
        sqlite_with_rowid=False,
    )
    op.create_index("evaluation_experiment_dataset", "evaluation_experiment", ["dataset"])
    op.create_table(
        "evaluation_record",
        _c("id", Text, primary_key=True),
        _c("dataset", Text),
        _c("inputs_digest", Text),
        _c("created", Big),
        _c("updated", Big),
        _c("content", Text),
    )
    op.create_index("evaluation_record_inputs", "evaluation_record", ["dataset", "inputs_digest"], unique=True)
    op.create_index("evaluation_record_order", "evaluation_record", ["dataset", "created", "id"])
