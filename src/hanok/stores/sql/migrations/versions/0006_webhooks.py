"""Webhooks of the registry and the messages to them, which stay until they arrive. Instants are microseconds."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

Text, Big, Int = sa.Text, sa.BigInteger, sa.Integer


def _c(name: str, kind: Any, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, **options)


def upgrade() -> None:
    op.create_table(
        "webhook",
        _c("id", Text, primary_key=True),
        _c("name", Text),
        _c("url", Text),
        _c("events", Text),
        _c("created", Big),
        _c("updated", Big),
        _c("description", Text),
        _c("active", Int),
        _c("secret", Text),
    )
    op.create_table(
        "webhook_delivery",
        _c("id", Text, primary_key=True),
        _c("webhook", Text),
        _c("sequence", Big),
        _c("event", Text),
        _c("body", Text),
        _c("created", Big),
        _c("due", Big, nullable=True),
        _c("attempts", Int),
        _c("outcome", Text),
    )
    op.create_index("webhook_delivery_due", "webhook_delivery", ["due"])
    op.create_index("webhook_delivery_webhook", "webhook_delivery", ["webhook", "sequence"])
