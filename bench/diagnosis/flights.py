"""Does `why` name the broken input? Seven ways to break serving, tried on a live week of April; and weeks in which
nothing is broken. Does the gate promote a challenger that is no better? Twenty of the same recipe and other seeds."""

import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.tools import row
from hanok.cli.demo import example_folder
from hanok.core.clock import ReplayClock
from hanok.core.training import facts_of
from hanok.engine.app import App, open_app
from hanok.engine.config import Config
from hanok.engine.diagnose import why_window
from hanok.engine.evidence import Evidence
from hanok.engine.parts import find
from hanok.engine.predicting import Predicting
from hanok.engine.project import load_module
from hanok.engine.replay import Replay
from hanok.parts.automl import service as automl
from hanok.parts.training import gate, splitting

MODEL = "late-arrival"
START = datetime(2013, 1, 1, tzinfo=UTC)
TRAINED = timedelta(days=90)
BROKEN_FROM = 104
DAY = timedelta(days=1)
ROLLING = ("carrier__", "origin__", "dest__")
STORM = datetime(2013, 2, 5, tzinfo=UTC), datetime(2013, 2, 12, tzinfo=UTC)
SEEDS = 20
CLEAN_WEEKS = 20


def rolling_null(rows, _app):
    return _each(rows, _rolling(rows), lambda c: pa.nulls(len(c), c.type))


def rolling_zero(rows, _app):
    return _each(rows, _rolling(rows), lambda c: pa.array(np.zeros(len(c))))


def rolling_stale(rows, app):
    """The values of the day before."""
    model = app.training.model(MODEL)
    days = pc.strftime(rows.column("_at"), "%Y-%m-%d")
    first = datetime.fromisoformat(days[0].as_py()).replace(tzinfo=UTC)
    spine = app.features.spine_rows(model, start=first, end=first + DAY)
    early = spine.set_column(
        spine.column_names.index("_at"), "_at", pc.subtract(spine.column("_at"), pa.scalar(DAY, pa.duration("us")))
    )
    stale = app.features.historical(model, early)
    for name in _rolling(rows):
        rows = rows.set_column(rows.column_names.index(name), name, stale.column(name))
    return rows


def celsius(rows, _app):
    def convert(column):
        return pc.divide(pc.subtract(column, 32.0), 1.8)

    return _each(rows, ["weather__temp", "weather__dewp"], convert)


def hhmm(rows, _app):
    def convert(column):
        minutes = column.to_numpy()
        return pa.array(minutes // 60 * 100 + minutes % 60)

    return _each(rows, ["sched_minute"], convert)


def seconds(rows, _app):
    return _each(rows, ["sched_minute"], lambda c: pc.multiply(c, 60.0))


def carriers_shifted(rows, _app):
    def convert(column):
        names = sorted(set(column.to_pylist()))
        following = dict(zip(names, [*names[1:], names[0]], strict=True))
        return pa.array([following[n] for n in column.to_pylist()])

    return _each(rows, ["carrier"], convert)


FAULTS = {
    "rolling features null": (rolling_null, ROLLING),
    "rolling features zero": (rolling_zero, ROLLING),
    "rolling features stale by a day": (rolling_stale, ROLLING),
    "Celsius for Fahrenheit": (celsius, ("weather__",)),
    "HHMM for minutes": (hhmm, ("sched_minute",)),
    "seconds for minutes": (seconds, ("sched_minute",)),
    "carrier codes shifted": (carriers_shifted, ("carrier",)),
}


def _rolling(rows):
    return [n for n in rows.column_names if n.startswith(ROLLING)]


def _each(rows, names, convert):
    for name in names:
        rows = rows.set_column(rows.column_names.index(name), name, convert(rows.column(name)))
    return rows


class Broken(Predicting):
    """Clients who send something else than what the feature store gives."""

    def __init__(self, app, fault):
        parts = {"training": app.training, "features": app.features, "serving": app.serving, "declared": app.declared}
        super().__init__(**parts, keys=app.serving.keys)
        self._app, self._fault = app, fault

    def predict_window(self, name, start, end, *, key, skip=()):
        model = self._app.training.model(name)
        spine = self._app.features.spine_rows(model, start=start, end=end)
        served = self._fault(self._app.features.historical(model, spine), self._app)
        return self._app.serving.predict_batch(name, served, key=key)


def opened(home, fault=None) -> App:
    config = Config(home=home, project=example_folder("flights") / "project.py")
    app = open_app(config, clock=ReplayClock(START))
    return app if fault is None else replace(app, predicting=Broken(app, fault))


def replay(app, days):
    feeds = load_module(example_folder("flights") / "feeds.py").feeds()
    Replay(app, feeds, start=START, first_training=TRAINED).run(days)


def at_day(app, day):
    """The replay's clock, moved to the beginning of a day."""
    assert isinstance(app.clock, ReplayClock)
    app.clock.move_to(START + timedelta(days=day))


def diagnose(app, first, days):
    at_day(app, first + days + 2)
    return why_window(find(app, Evidence), MODEL, START + timedelta(days=first), START + timedelta(days=first + days))


def faults(base, folder, only=None):
    """For each fault: the suspects, ranked, of the week in which it was served."""
    found = {}
    for name, (fault, columns) in FAULTS.items():
        if only and name not in only:
            continue
        home = folder / "broken"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(base, home)
        app = opened(home, fault)
        replay(app, BROKEN_FROM + 7)
        suspects = diagnose(app, BROKEN_FROM, 7).suspects
        app.close()
        first = suspects[0].columns if suspects else ()
        right = bool(first) and all(c.startswith(columns) for c in first)
        found[name] = right, [s.name for s in suspects]
    return found


def storm_model(base, folder):
    """A model trained on the week of the blizzard only, deployed at once: is the version named?"""
    home = folder / "storm"
    shutil.copytree(base, home)
    app = opened(home)
    at_day(app, BROKEN_FROM)
    made = app.training.train(MODEL, start=STORM[0], end=STORM[1], reason="storm", actor="bench", promote=False)
    from hanok.core.serving import Arm

    app.serving.deploy(MODEL, [Arm(made.version, "primary", 100)], actor="bench", reason="storm")
    replay(app, BROKEN_FROM + 7)
    suspects = diagnose(app, BROKEN_FROM, 7).suspects
    app.close()
    return bool(suspects) and suspects[0].name == f"model version {made.version}", [s.name for s in suspects]


def a_against_a(base):
    """How many of 20 challengers of the champion's recipe, rows and other seeds the gate lets pass."""
    app = opened(base)
    at_day(app, BROKEN_FROM)
    model = app.training.model(MODEL)
    champion = app.training.version(MODEL, 1)
    made = app.features.training_set(model)
    frame = splitting.frame_of(model, made.rows)
    facts = facts_of(champion)
    seen = facts.trained_until
    _, test = splitting.split(model, frame, made.rows, seen_until=seen)
    learnt = splitting.training_rows(app.blobs, facts.training_digest)
    train = splitting.frame_of(model, learnt)
    held_out = made.rows.filter(made.rows.column("_label").is_valid()).take(pa.array(test))
    y = frame.take(test).y
    theirs = app.packages.load(champion.package).score_table(held_out)
    passed = 0
    for seed in range(100, 100 + SEEDS):
        plan = replace(facts.plan, seed=seed)
        mine = app.packages.load(app.packages.save(automl.run_plan(train, plan).package)).score_table(held_out)
        sides = gate.Sides(y, mine, theirs, None)
        verdict = gate.judge(model.gate, model.task, "log_loss", sides, held_out, "champion")
        passed += verdict.passed
    app.close()
    return passed


def clean_weeks(base, folder):
    """Weeks after the first training in which nobody broke anything, and the false names found in them."""
    home = folder / "clean"
    shutil.copytree(base, home)
    app = opened(home)
    days = BROKEN_FROM + 7 * CLEAN_WEEKS
    replay(app, days)
    named = []
    for week in range(CLEAN_WEEKS):
        found = diagnose(app, BROKEN_FROM + 7 * week, 7)
        named += [(found.start[:10], found.suspects[0].name)] if found.suspects else []
    app.close()
    return named


def measure():
    return list(_rows())


def _rows():
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        app = opened(base)
        replay(app, BROKEN_FROM)
        app.close()
        found = faults(base, Path(folder))
        for name, (right, suspects) in found.items():
            yield row(f"{name}: broken input named first", right, "", ", ".join(suspects) or "nothing named")
        right, suspects = storm_model(base, Path(folder))
        yield row("trained on the storm week only: version named first", right, "", ", ".join(suspects))
        named = clean_weeks(base, Path(folder))
        yield row(
            f"of {CLEAN_WEEKS} clean weeks, named something", len(named), "weeks", ", ".join(map(": ".join, named))
        )
        yield row(f"of {SEEDS} equal challengers (other seeds), passed by the gate", a_against_a(base), "")
