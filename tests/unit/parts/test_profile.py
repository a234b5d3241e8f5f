"""Profiles and reports: what a person must see, and nothing that leaves the page."""

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.profiling import compare_tables, explore
from hanok.core.errors import BadData
from hanok.ui.report import profile

RNG = np.random.default_rng(6)
N = 2000
X = RNG.normal(size=N)
Y = (RNG.random(N) < 1 / (1 + np.exp(-2 * X))).astype(int)
ROWS = pa.table(
    {
        "id": [f"u{i}" for i in range(N)],
        "at": pa.array(
            (np.arange(N) + (np.arange(N) > 1500) * 500).astype("datetime64[h]").astype("datetime64[us]"),
            pa.timestamp("us"),
        ),
        "x": X,
        "noise": RNG.normal(size=N),
        "leak": np.where(Y == 1, "yes", "no"),
        "same": [3] * N,
        "y": Y,
    }
)


def columns(p):
    return {c.name: c for c in p.columns}


def test_columns_are_related_to_the_target():
    found = columns(explore(ROWS, "y"))
    assert found["leak"].relation > 0.99 and 0.1 < found["x"].relation < 0.6 and found["noise"].relation < 0.02


def test_what_looks_wrong_is_said_first():
    p = explore(pa.concat_tables([ROWS, ROWS.slice(0, 3)]), "y")
    assert p.warnings[0].startswith("leak: suspected leak") and p.duplicates == 3
    text = " ".join(p.warnings)
    assert "3 rows" in text and "nothing for 501.0 hours" in text and "same: constant" in text
    assert "identifier" in columns(p)["id"].notes[0]


def test_the_problem_is_written_down():
    problem = explore(ROWS, "y").problem
    share = Y.mean()
    assert (problem.task, problem.metric) == ("binary", "log_loss")
    assert problem.baseline == pytest.approx(-(share * np.log(share) + (1 - share) * np.log(1 - share)))
    assert explore(ROWS, "x").problem.task == "regression"
    assert explore(ROWS, "same").problem is None


def test_a_number_explained_by_a_text():
    kind = RNG.integers(0, 3, N)
    rows = pa.table({"kind": [f"k{k}" for k in kind], "value": kind * 2.0 + RNG.normal(size=N) * 0.5})
    relation = columns(explore(rows, "value"))["kind"].relation
    assert relation == pytest.approx(1 - 0.25 / (0.25 + 4 * np.var(kind)), abs=0.03)


@pytest.mark.parametrize(
    "rows",
    [
        ROWS.slice(0, 0),
        ROWS.slice(0, 1),
        pa.table({"a": pa.nulls(5), "b": pa.nulls(5, pa.float64())}),
        pa.table({"a": [[1, 2], [3]], "s": [{"x": 1}, {"x": 2}]}),
        pa.table(
            {"a": [float("inf"), float("nan"), -float("inf")], "d": pa.array(["u", "v", "u"]).dictionary_encode()}
        ),
        pa.table({"big": pa.array([2**63 - 1, -(2**63)], pa.int64()), "u": pa.array([2**64 - 1, 0], pa.uint64())}),
    ],
)
def test_strange_tables_have_a_profile_too(rows):
    page = profile(rows).html()
    assert page.startswith("<!doctype html>") or "<html" in page


def test_an_unknown_target_and_a_table_without_columns_are_refused():
    with pytest.raises(BadData, match="no column 'z'"):
        explore(ROWS, "z")
    with pytest.raises(BadData, match="no columns"):
        explore(pa.table({}))


def test_the_page_asks_nothing_of_any_other_host_and_escapes_what_it_shows():
    rows = pa.table({"<script>alert(1)</script>": ["<b>", "x"] * 50, "y": [0, 1] * 50})
    page = profile(rows, "y", reference=rows).html()
    assert "<script>alert" not in page and "<b>" not in page.replace("<b>", "", 0).split("<main")[1]
    assert not [w for w in ("src=", "@import", "url(", "<link") if w in page]


def test_a_frame_of_pandas_or_polars_is_a_table_too():
    class Stream:  # what Polars and pandas 3 give
        def __arrow_c_stream__(self, requested_schema=None):
            return ROWS.__arrow_c_stream__(requested_schema)

    assert profile(Stream()).profile.rows == N


def test_columns_that_moved_are_told_from_noise():
    later = ROWS.set_column(2, "x", pa.array(X + 0.8))
    moved = {d.column: d.effect for d in compare_tables(ROWS, later)}
    assert moved["x"] > 0.3 and moved["noise"] == moved["id"] == 0.0 and "at" not in moved
