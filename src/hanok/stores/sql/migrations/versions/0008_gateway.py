"""Declarations of a gateway, scorers in versions, and online scoring. Instants are microseconds."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

Text, Big, Int = sa.Text, sa.BigInteger, sa.Integer


def _c(name: str, kind: Any, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, **options)


def upgrade() -> None:
    for table in ("gateway_secret", "gateway_model_definition", "gateway_endpoint"):
        op.create_table(
            table,
            _c("id", Text, primary_key=True),
            _c("name", Text, unique=True),
            _c("created", Big),
            _c("updated", Big),
            _c("content", Text),
        )
    op.create_table(
        "gateway_binding",
        _c("endpoint", Text),
        _c("resource_type", Text),
        _c("resource", Text),
        _c("created", Big),
        _c("created_by", Text),
        sa.PrimaryKeyConstraint("endpoint", "resource_type", "resource"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "scorer_version",
        _c("scorer", Text),
        _c("experiment", Big),
        _c("name", Text),
        _c("version", Int),
        _c("body", Text),
        _c("created", Big),
        _c("endpoint", Text),
        sa.PrimaryKeyConstraint("experiment", "name", "version"),
    )
    op.create_table(
        "online_scoring",
        _c("scorer", Text, primary_key=True),
        _c("id", Text),
        _c("experiment", Big),
        _c("sample_rate", sa.Double),
        _c("filter", Text, nullable=True),
    )
