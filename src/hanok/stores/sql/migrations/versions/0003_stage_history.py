"""Moves between stages, with who, when and why."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Text, Big, Int = sa.Text, sa.BigInteger, sa.Integer


def _c(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "stage_change",
        sa.Column("sequence", serial, primary_key=True, autoincrement=True),
        _c("id", Text),
        _c("model", Text),
        _c("version", Int),
        _c("before", Text),
        _c("after", Text),
        _c("at", Big),
        _c("actor", Text),
        _c("reason", Text),
    )
    op.create_index("stage_change_model", "stage_change", ["model", "version"])
