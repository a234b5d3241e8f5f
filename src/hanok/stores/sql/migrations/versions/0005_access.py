"""Users, tokens, roles, the audit record, and the project of experiments and registered models."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

Text, Big, Int = sa.Text, sa.BigInteger, sa.Integer


def _c(name: str, kind: Any, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, **options)


def upgrade() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    for table in ("experiment", "registered_model"):
        op.add_column(table, _c("project", Text, server_default="default"))
    op.create_table(
        "user_account",
        _c("name", Text, primary_key=True),
        _c("password", Text),
        _c("created", Big),
        _c("disabled", Big, nullable=True),
    )
    op.create_table(
        "access_token",
        _c("digest", Text, primary_key=True),
        _c("id", Text, unique=True),
        _c("user_name", Text),
        _c("name", Text),
        _c("kind", Text),
        _c("access", Int),
        _c("project", Text),
        _c("created", Big),
        _c("expires", Big, nullable=True),
        _c("last_used", Big, nullable=True),
        _c("revoked", Big, nullable=True),
    )
    op.create_index("access_token_user", "access_token", ["user_name"])
    op.create_table(
        "project_role",
        _c("user_name", Text),
        _c("project", Text),
        _c("access", Int),
        _c("granted", Big),
        _c("granted_by", Text),
        sa.PrimaryKeyConstraint("user_name", "project"),
    )
    op.create_table("access_generation", _c("id", Int, primary_key=True), _c("number", Big))
    op.execute("INSERT INTO access_generation (id, number) VALUES (1, 1)")
    op.create_table(
        "audit",
        sa.Column("sequence", serial, primary_key=True, autoincrement=True),
        _c("at", Big),
        *(_c(name, Text) for name in ("actor", "token", "address", "method", "route", "project", "resource")),
        _c("status", Int),
        _c("times", Int),
        sqlite_autoincrement=True,
    )
