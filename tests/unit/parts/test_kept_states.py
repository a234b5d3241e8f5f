"""Statistics kept by batch, day and slice answer questions about spans of time without reading a row again."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hanok.compute.alarms import judge
from hanok.compute.profiling import compare_tables
from hanok.compute.state_drift import compare_states
from hanok.compute.states import TableState
from hanok.core.clock import ReplayClock
from hanok.core.errors import HanokError, Invalid
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.verbs import call

START = datetime(2024, 1, 1, tzinfo=UTC)


def week(number, *, shift=0.0, rows=700):
    rng = np.random.default_rng(number)
    at = [START + timedelta(days=7 * number + i * 7 / rows) for i in range(rows)]
    return pa.table(
        {
            "id": pa.array(np.arange(rows) + number * rows),
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "carrier": rng.choice(["UA", "AA", "MQ"], rows),
            "delay": rng.normal(10 + shift, 5, rows),
            "rain": np.where(rng.random(rows) < 0.8, 0.0, rng.exponential(size=rows)),
        }
    )


@pytest.fixture
def app(tmp_path):
    made = open_app(Config(home=tmp_path / "home"), clock=ReplayClock(START))
    for number in range(6):
        rows = week(number, shift=8.0 * (number >= 4))
        made.ingesting.ingest(
            "flights",
            rows,
            key=f"week {number}",
            keys=["id"],
            event_time="at",
            slices=["carrier"] if not number else (),
        )
    yield made
    made.close()


@pytest.fixture
def unreadable(app, monkeypatch):
    """The rows themselves cannot be read from here on."""

    def refuse(*_, **__):
        raise AssertionError("the rows were read")

    monkeypatch.setattr(app.tables, "scan", refuse)
    return app


def ask(app, verb, **arguments):
    return json.loads(json.dumps(call(app, verb, "test", arguments), default=str))


def test_a_profile_of_a_span_equals_that_of_its_rows(unreadable):
    found = ask(unreadable, "table.profile", name="flights", since="2024-01-03", until="2024-01-09")
    rows = pa.concat_tables([week(0), week(1)])
    at = rows.column("at").to_numpy().astype("datetime64[D]")
    chosen = rows.filter((at >= np.datetime64("2024-01-03")) & (at <= np.datetime64("2024-01-09")))
    delay = next(c for c in found["columns"] if c["name"] == "delay")
    assert (found["rows"], found["from"], found["to"]) == (chosen.num_rows, "2024-01-03", "2024-01-09")
    values = chosen.column("delay").to_numpy()
    assert (delay["mean"], delay["minimum"], delay["maximum"]) == pytest.approx(
        (values.mean(), values.min(), values.max())
    )
    assert found["slices"] == ["carrier=AA", "carrier=MQ", "carrier=UA"]


def test_a_slice_knows_its_rows_alone(unreadable):
    found = ask(unreadable, "table.profile", name="flights", slice="carrier=UA")
    rows = pa.concat_tables([week(i, shift=8.0 * (i >= 4)) for i in range(6)])
    values = rows.filter(pc.equal(rows.column("carrier"), "UA")).column("delay").to_numpy()
    delay = next(c for c in found["columns"] if c["name"] == "delay")
    assert found["rows"] == len(values) and delay["mean"] == pytest.approx(values.mean())


def test_a_history_has_a_line_for_each_day(unreadable):
    found = ask(unreadable, "table.history", name="flights", columns=["rain"])
    assert [p["partition"] for p in found] == [f"{START + timedelta(days=i):%Y-%m-%d}" for i in range(42)]
    assert sum(p["rows"] for p in found) == 4200 and set(found[0]["columns"]) == {"rain"}


def test_drift_between_two_periods_is_that_of_their_rows(unreadable):
    periods = ["2024-01-01..2024-01-14", "2024-01-29..2024-02-11"]
    found = ask(unreadable, "table.drift", name="flights", between=periods)
    moved = {c["column"]: c for c in found["columns"]}
    before, after = pa.concat_tables([week(0), week(1)]), pa.concat_tables([week(4, shift=8.0), week(5, shift=8.0)])
    rows = {v.drift.column: v.drift for v in judge(compare_tables(before, after))}
    assert moved["delay"]["moved"] and not moved["rain"]["moved"] and not moved["carrier"]["moved"]
    assert moved["carrier"]["psi"] == pytest.approx(rows["carrier"].psi)  # all values are known: exact
    assert moved["delay"]["psi"] == pytest.approx(rows["delay"].psi, rel=0.15)  # a sketch within its error


def test_what_was_not_kept_is_said(app):
    with pytest.raises(Invalid, match="run from 2024-01-01 to 2024-02-11"):
        ask(app, "table.profile", name="flights", since="2025")
    with pytest.raises(Invalid, match="its slices are carrier=AA, carrier=MQ, carrier=UA"):
        ask(app, "table.profile", name="flights", slice="carrier=WN")
    for wrong in ({"slice": "UA"}, {"since": "January"}):
        with pytest.raises(Invalid):
            ask(app, "table.profile", name="flights", **wrong)
    with pytest.raises(HanokError, match="no column 'airline'"):
        ask(app, "table.slice", name="flights", columns=["airline"])
    ask(app, "table.slice", name="flights", columns=[])
    app.ingesting.ingest("flights", week(6), key="week 6")
    warnings = ask(app, "table.profile", name="flights", slice="carrier=UA")["warnings"]
    assert warnings[0] == "1 batches keep no statistics of carrier and are left out: 'week 6'"


def test_rows_set_aside_are_not_in_the_statistics(app):
    bad = week(7).set_column(3, "delay", pa.array([1e9] + [10.0] * 699))
    assert app.ingesting.ingest("flights", bad, key="week 7").quarantined == 1
    assert app.validation.state("flights", batch="week 7").columns["delay"].maximum == 10.0


def test_a_batch_of_many_thin_days_is_kept_by_month_or_year(app):
    at = [START + timedelta(days=3 * i) for i in range(700)]
    thin = pa.table({"at": pa.array(at, pa.timestamp("us", "UTC")), "x": np.arange(700)})
    app.ingesting.ingest("thin", thin, key="one", event_time="at")
    assert [p["partition"] for p in ask(app, "table.history", name="thin")] == [str(2024 + i) for i in range(6)]


@pytest.mark.parametrize("column", ["rain", "delay", "word", "mixed"])
def test_equal_data_do_not_drift_however_sketched(column):
    def draw(seed, n=60_000):
        rng = np.random.default_rng(seed)
        return TableState.of(
            pa.table(
                {
                    "rain": np.where(rng.random(n) < 0.8, 0.0, rng.exponential(size=n)),
                    "delay": pa.array(rng.standard_t(2, n), mask=rng.random(n) < 0.05),
                    "word": pa.array([f"w{int(i)}" for i in np.minimum(rng.zipf(1.5, n), 10**7)]),
                    "mixed": rng.choice([1.0, np.nan, np.inf, -np.inf, 2.0], n),
                }
            )
        )

    suspects = 0
    for seed in range(8):
        verdicts = judge(compare_states(draw(2 * seed), draw(2 * seed + 1)))
        suspects += sum(v.suspect for v in verdicts if v.drift.column == column)
    assert suspects == 0


def test_a_metric_of_the_newest_day_is_judged_by_its_history(unreadable):
    arguments = {
        "name": "flights",
        "metric": "Mean",
        "column": "delay",
        "settings": {"lower_factor": 6, "upper_factor": 6},
    }
    quiet = ask(unreadable, "table.anomalies", strategy="BatchNormal", until="2024-01-28", **arguments)
    assert len(quiet["history"]) == 28 and quiet["anomalies"] == []
    jump = ask(unreadable, "table.anomalies", strategy="BatchNormal", until="2024-01-29", **arguments)
    assert [a["partition"] for a in jump["anomalies"]] == ["2024-01-29"]  # the shift of week 4
    weekly = {"strategy": "HoltWinters", "settings": {"period": 7}}
    arguments = {"name": "flights", "metric": "Size", **weekly}
    assert ask(unreadable, "table.anomalies", **arguments)["anomalies"] == []
    with pytest.raises(Invalid, match="no history is kept of 'Charm'"):
        ask(unreadable, "table.anomalies", name="flights", metric="Charm")
