"""Studies, trials, their reports and attributes. Instants are microseconds, numbers that may be NaN are text."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

Text, Big, Int = sa.Text, sa.BigInteger, sa.Integer


def _c(name: str, kind: Any, *, nullable: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable, **options)


def upgrade() -> None:
    counters = op.create_table("tuning_counter", _c("name", Text, primary_key=True), _c("value", Big))
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in ("study", "trial", "revision")])
    op.create_table(
        "study",
        _c("id", Big, primary_key=True, autoincrement=False),
        _c("name", Text, unique=True),
        _c("created", Big),
        _c("experiment", Text),
        _c("state", Text),
        _c("next_number", Big),
        _c("content", Text),
    )
    op.create_table(
        "trial",
        _c("id", Big, primary_key=True, autoincrement=False),
        _c("study", Big),
        _c("number", Big),
        _c("state", Text),
        _c("revision", Big),
        _c("lease_until", Big, nullable=True),
        _c("run", Text),
        _c("content", Text),
    )
    op.create_index("trial_number", "trial", ["study", "number"], unique=True)
    op.create_index("trial_revision", "trial", ["study", "revision"])
    op.create_index("trial_state", "trial", ["study", "state", "number"])
    op.create_table(
        "trial_report",
        _c("trial", Big),
        _c("step", Big),
        _c("value", Text),
        sa.PrimaryKeyConstraint("trial", "step"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tuning_attribute",
        _c("owner", Text),
        _c("id", Big),
        _c("scope", Text),
        _c("key", Text),
        _c("value", Text),
        sa.PrimaryKeyConstraint("owner", "id", "scope", "key"),
        sqlite_with_rowid=False,
    )
