"""The point-in-time join: for each spine row, the values that were known at its instant.

Rules: a value is visible at t when its event time <= t; the latest one counts; ties go to the later `created` (null
lowest), then to the last written; it is valid while t - event time <= ttl, and an expired latest value does not fall
back to an older one. With the known-time cutoff a value also has to have been created by t. Spine rows are never
dropped, duplicated or reordered. Null keys and null event times match nothing. All instants are UTC.

Method: a row becomes visible at v = max(event time, created). Walking the rows of a key by v and keeping the running
maximum of their rank by (event time, created, written) gives the winner at each v; the join is then one ASOF join.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from hanok.compute.duck import Relation, add, arrow, one_row, quoted, within

ROW = "_row"
FIRST = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AsOf:
    """One view to join. `written` orders rows of equal event and created time; `created` None: arrival is unknown.

    `own` names a column of the spine: the number, in `written`, of the row that must not be found, because the spine's
    row is that row itself. `asked` names the spine's columns with the keys, where they are called otherwise there.

    Rows that are equal in `row_key` are forms of one row, each of which counts until a later one is visible: see
    `living`. Where one form must not be found none of them is.
    """

    relation: Relation
    keys: tuple[str, ...]
    event_time: str
    created: str | None
    written: str | None
    columns: tuple[str, ...]
    ttl: timedelta | None = None
    own: str | None = None
    asked: tuple[str, ...] = ()
    row_key: tuple[str, ...] = ()


def point_in_time_join(
    spine: pa.Table,
    at: str,
    views: Sequence[AsOf],
    *,
    known_time: bool = True,
    connection: duckdb.DuckDBPyConnection | None = None,
) -> list[pa.Table]:
    """For each view a table of its columns, row i belonging to spine row i.

    `at` names the spine's instant column.
    """
    from hanok.compute.duck import connect

    if connection is None:
        with connect() as own:
            return point_in_time_join(spine, at, views, known_time=known_time, connection=own)
    duck = connection
    numbered = spine.append_column(ROW, pa.array(range(spine.num_rows), pa.int64()))
    duck.register("pit_spine", numbered)
    asked = pc.min_max(spine.column(at)).as_py()
    ends = None if asked["min"] is None else (_instant(asked["min"]), _instant(asked["max"]))
    return [_join(duck, view, at, known_time, index, ends) for index, view in enumerate(views)]


def _instant(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _before(at: datetime, ttl: timedelta) -> datetime | None:
    try:
        return at - ttl
    except OverflowError:
        return None


def _join(
    duck: duckdb.DuckDBPyConnection,
    view: AsOf,
    at: str,
    known_time: bool,
    index: int,
    ends: tuple[datetime, datetime] | None,
) -> pa.Table:
    """`ends` are the first and the last instant that is asked for."""
    name, relation = f"pit_view_{index}", view.relation
    keys = [quoted(k) for k in view.keys]
    key_list = ", ".join(f"k{i}" for i in range(len(keys)))
    named = ", ".join(f"{k} AS k{i}" for i, k in enumerate(keys))
    asked = ", ".join(f"{quoted(k)} AS k{i}" for i, k in enumerate(view.asked or view.keys))
    event = quoted(view.event_time)
    created = quoted(view.created) if view.created else "NULL::TIMESTAMPTZ"
    written = quoted(view.written) if view.written else "row_number() OVER ()"
    visible = f"greatest({_utc(event)}, coalesce({_utc(created)}, {_utc(event)}))" if known_time else _utc(event)
    values = ", ".join(f"{quoted(c)} AS v{i}" for i, c in enumerate(view.columns))
    picked = ", ".join(f"w.v{i} AS {quoted(c)}" for i, c in enumerate(view.columns))
    in_ttl = "" if view.ttl is None else f"AND s.t - w.event_time <= to_microseconds({_micros(view.ttl)})"
    kept = [f"{k} IS NOT NULL" for k in [*keys, event]]
    if not view.row_key and ends is not None:  # what nobody who asks can find; a later form of a row tells of others
        kept.append(f"{_utc(event)} <= TIMESTAMPTZ '{ends[1].isoformat()}'")
        first = None if view.ttl is None else _before(ends[0], view.ttl)
        if first is not None:
            kept.append(f"{_utc(event)} >= TIMESTAMPTZ '{first.isoformat()}'")
        relation = within(relation, view.event_time, first or FIRST, ends[1])
    add(duck, name, relation)
    asking = f", {quoted(view.own)} AS own" if view.own else ""
    changes = (_BEST_TWO_ROWS if view.row_key else _BEST_TWO) if view.own else _BEST
    winner = (_NOT_OWN_ROW if view.row_key else _NOT_OWN) if view.own else "SELECT * FROM joined"
    forms, which = "", ""
    if view.row_key:
        forms = f", min({written}) OVER (PARTITION BY {one_row(view.row_key, written=written)}) AS identity"
        forms += f", {living(view.row_key, visible, written)} AS living"
        which = "WHERE living"
    query = f"""
    WITH held AS (
      SELECT {named}, {_utc(event)} AS event_time, {visible} AS visible, {written} AS written, {values},
             row_number() OVER (PARTITION BY {", ".join(keys)}
                                ORDER BY {event}, {created} NULLS FIRST, {written}) AS rank{forms}
      FROM {quoted(name)} WHERE {" AND ".join(kept)}),
    ranked AS (SELECT * FROM held {which}),
    changes AS ({changes.format(keys=key_list)}),
    s AS (SELECT {ROW}, {_utc(quoted(at))} AS t, {asked}{asking} FROM pit_spine),
    joined AS (
      SELECT s.*, c.* EXCLUDE ({key_list})
      FROM s ASOF LEFT JOIN changes c ON {_same("s", "c", keys)} AND s.t >= c.visible),
    found AS ({winner.format(same=_same("j", "w", keys))})
    SELECT {picked}
    FROM found s LEFT JOIN ranked w ON s.winner = w.rank AND {_same("s", "w", keys)} {in_ttl}
    ORDER BY s.{ROW}
    """
    return arrow(duck, query)


def living(row_key: Sequence[str], visible: str, written: str, now: str = "") -> str:
    """Whether a form of a row counts at any instant (from `now` on), as SQL: no later form was visible by the time that
    it was. `visible` says from when on a form is."""
    later = superseded(row_key, visible, written)
    return f"coalesce({later} > {f'greatest({visible}, {now})' if now else visible}, true)"


def superseded(row_key: Sequence[str], known: str, written: str) -> str:
    """When the first of the later forms of a row was known, as SQL, null where there is none: `known` is of one."""
    return (
        f"min({known}) OVER (PARTITION BY {one_row(row_key, written=written)} ORDER BY {written} "
        "ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)"
    )


def _same(one: str, other: str, keys: Sequence[str]) -> str:
    return " AND ".join(f"{one}.k{i} = {other}.k{i}" for i in range(len(keys)))


# The best rank of a key among what is visible, from each instant on at which something becomes visible.
_BEST = """
      SELECT {keys}, visible, max(max(rank)) OVER (PARTITION BY {keys} ORDER BY visible) AS winner
      FROM ranked GROUP BY {keys}, visible"""

# The two best ranks. What a later best beats, or is beaten by, is the second: the lesser of best here and best
# before. There is none before the first instant: `least` leaves nulls out, and would make the best its own second.
_BEST_TWO = """
      SELECT {keys}, visible, best AS winner,
             max(greatest(second_here, CASE WHEN best_before IS NULL THEN NULL ELSE least(best_here, best_before) END))
               OVER (PARTITION BY {keys} ORDER BY visible) AS second
      FROM (SELECT *, max(best_here) OVER (PARTITION BY {keys} ORDER BY visible) AS best,
                   max(best_here) OVER (PARTITION BY {keys} ORDER BY visible
                                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS best_before
            FROM (SELECT {keys}, visible, max(rank) AS best_here,
                         list_extract(max(rank, 2), 2) AS second_here
                  FROM ranked GROUP BY {keys}, visible))"""

_NOT_OWN = """
      SELECT j.* REPLACE (CASE WHEN w.written = j.own THEN j.second ELSE j.winner END AS winner)
      FROM joined j LEFT JOIN ranked w ON j.winner = w.rank AND {same}"""

# The best rank, and the best one of another row: forms of one row stand for it one after the other. A rank that is not
# the best, or is none any more, is remembered while the best is of another row. Whatever becomes the best in the place
# of another row is above all that was remembered before, and so is the one in whose place it comes.
_BEST_TWO_ROWS = """
      SELECT {keys}, visible, best AS winner, second
      FROM (SELECT *, max(rank) OVER so_far AS best,
                   max(CASE WHEN identity <> identity_before THEN least(rank, best_before) END) OVER so_far AS second
            FROM (SELECT {keys}, visible, rank, identity,
                         max(rank) OVER before AS best_before, arg_max(identity, rank) OVER before AS identity_before
                  FROM ranked
                  WINDOW before AS (PARTITION BY {keys} ORDER BY visible, rank
                                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))
            WINDOW so_far AS (PARTITION BY {keys} ORDER BY visible, rank
                              ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
            QUALIFY row_number() OVER (PARTITION BY {keys}, visible ORDER BY rank DESC) = 1)"""

_NOT_OWN_ROW = """
      SELECT j.* REPLACE (CASE WHEN w.identity = o.identity THEN j.second ELSE j.winner END AS winner)
      FROM joined j LEFT JOIN ranked w ON j.winner = w.rank AND {same} LEFT JOIN held o ON o.written = j.own"""


def _utc(expression: str) -> str:
    """As an instant; a naive timestamp is UTC already (the session's time zone is UTC)."""
    return f"CAST({expression} AS TIMESTAMPTZ)"


def _micros(value: timedelta) -> int:
    return value // timedelta(microseconds=1)
