"""A project that changes while it lives, and what must hold of it after each change.

`Life` drives a home through its client, on a clock that is moved by hand. `check` asks for every answer that was ever
given: it must be found as it was, be explained, and have the newest label of its entity; and what is read online must
be what the point-in-time join gives. As a program it is a process that can be killed:
python -m tests.loop.life FOLDER WHAT PARCEL...
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL

import numpy as np
import pyarrow as pa

import hanok as hk
from hanok.engine.home import Home

START = datetime(2026, 5, 1, tzinfo=UTC)
DAYS, A_DAY = 12, 40
MODEL = "late"
PROJECT = """
import hanok as hk


def train(frame):
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=5, num_leaves=7, min_child_samples=5, n_jobs=1, verbose=-1)
    return model.fit(frame.X, frame.y)


sender = hk.FeatureView(
    "sender", keys="sender", features={sender}, source=hk.Source("{senders}", event_time="since")
)
depot = hk.FeatureView(
    "depot",
    keys=["depot", "express"],
    windows=["1d", "3d"],
    aggregate={depot},
    source=hk.Source("deliveries", event_time="delivered"),
)
late = hk.Model(
    "late",
    task="binary",
    spine=hk.Spine("parcels", predict_at="posted", keys=["parcel"]),
    label=hk.Label("deliveries", column="late", known_at="delivered"),
    features={features},
    train=train,
    split=hk.by_time(test="3d"),
    gate=hk.Gate(beats="baseline", tolerance=10.0),
    rollout=hk.Rollout(shadow="1d", canary=[50], hold="1d", bake="2d"),
)
"""
FIRST = {
    "sender": ["age", "plan"],
    "senders": "senders",
    "depot": {"late": 'hk.mean("late")', "parcels": "hk.count()"},
    "features": ["sender", "depot", '"weight"', '"size"', '"kind"'],
}


def instants(values):
    return pa.array([v.replace(tzinfo=UTC) for v in values], pa.timestamp("us", "UTC"))


def parcels(rng, first, posted):
    """Rows of the spine, and whether each comes late."""
    count = len(posted)
    kind, weight = rng.choice(["box", "letter", "tube"], count), np.round(rng.gamma(2, 2, count), 2)
    size = rng.integers(1, 9, count)
    late = (rng.random(count) < 1 / (1 + np.exp(2 - 0.4 * weight - (kind == "tube")))).astype(int)
    rows = pa.table(
        {
            "parcel": [f"p{first + i:04d}" for i in range(count)],
            "posted": instants(posted),
            "sender": pa.array(rng.integers(100, 120, count), pa.int64()),
            "depot": rng.choice(["North", "Süd"], count),
            "express": rng.random(count) < 0.3,
            "weight": weight,
            "size": pa.array(size, pa.int64()),
            "kind": kind,
        }
    )
    return rows, late


def deliveries(rows, late, delivered):
    kept = rows.select(["parcel", "depot", "express"])
    return kept.append_column("late", pa.array(late)).append_column("delivered", instants(delivered))


@dataclass
class Life:
    """`said` holds every answer by its id, `truth` the newest label of each parcel."""

    folder: Path
    declared: dict = field(default_factory=lambda: dict(FIRST))
    said: dict = field(default_factory=dict)
    truth: dict = field(default_factory=dict)
    known: list = field(default_factory=list)
    client: object = None

    @property
    def home(self):
        return self.folder / "home"

    @property
    def app(self):
        return self.client.app

    # -- what people do ------------------------------------------------------------------------------------------

    def begin(self):
        """Twelve days of parcels, known when they happened; one day's labels are still to come."""
        self.rng = np.random.default_rng(3)
        self.home.mkdir(parents=True)
        Home(self.home).note_time(START + timedelta(days=DAYS))
        self._write()
        self.open()
        posted = sorted(START + timedelta(seconds=int(s)) for s in self.rng.integers(0, DAYS * 86_400, DAYS * A_DAY))
        rows, late = parcels(self.rng, 0, posted)
        delivered = [p + timedelta(hours=int(h)) for p, h in zip(posted, self.rng.integers(2, 30, len(posted)))]
        told = np.array([d < START + timedelta(days=DAYS - 1) for d in delivered])
        senders = {"sender": pa.array(range(100, 120), pa.int64()), "since": instants([START] * 20)}
        for table, plan in (("senders", list(range(20))), ("contracts", [f"plan {i % 3}" for i in range(20)])):
            facts = pa.table({**senders, "age": pa.array(range(20, 40), pa.int64()), "plan": plan})
            self.app.ingesting.ingest(table, facts, key="all", arrived=facts.column("since"))
        self.app.ingesting.ingest("parcels", rows, key="history", arrived=rows.column("posted"))
        labels = deliveries(rows, late, delivered).filter(pa.array(told))
        self.app.ingesting.ingest("deliveries", labels, key="history", arrived=labels.column("delivered"))
        self.truth = dict(zip(labels.column("parcel").to_pylist(), labels.column("late").to_pylist(), strict=True))
        self.known = rows.column("parcel").to_pylist()
        self.app.bus.drain()

    def open(self):
        self.client = hk.open(self.home, project=self.folder / "project.py")

    def close(self):
        if self.client is not None:
            self.client.close()

    def declare(self, **changed):
        """Edit the project file and apply it."""
        self.declared |= changed
        self._write()
        self.client.call("apply")

    def _write(self):
        told = self.declared
        text = PROJECT.replace("{sender}", repr(told["sender"])).replace("{senders}", told["senders"])
        text = text.replace("{depot}", "{" + ", ".join(f'"{n}": {a}' for n, a in told["depot"].items()) + "}")
        (self.folder / "project.py").write_text(text.replace("{features}", "[" + ", ".join(told["features"]) + "]"))

    def train(self, **options):
        made = self.client.call("train", model=MODEL, reason="the project changed", **options)
        assert made["verdict"]["passed"], made
        return made["version"]

    def pass_time(self, **span):
        self.app.clock.move_to(self.app.clock.now() + timedelta(**span))
        Home.note_time(self.app.home, self.app.clock.now())
        self.client.call("tick")

    def arrive(self, count=4, **more):
        """New parcels are posted now."""
        now = self.app.clock.now()
        rows, _ = parcels(self.rng, len(self.known), [now] * count)
        for name, values in more.items():
            rows = rows.append_column(name, pa.array(values[:count]))
        self.app.ingesting.ingest("parcels", rows, key=f"from {len(self.known)}")
        self.known += rows.column("parcel").to_pylist()
        self.app.bus.drain()

    def answer(self, count=4):
        """Ask online for the newest parcels, and in bulk for the last day."""
        for parcel in self.known[-count:]:
            self._note(self.client.call("predict", model=MODEL, match={"parcel": parcel}))
        now = self.app.clock.now()
        day = {"start": (now - timedelta(hours=20)).isoformat(), "end": now.isoformat()}
        made = self.client.call("predict.batch", model=MODEL, **day)
        for prediction in {made["first"], made["last"]} - {None}:
            self.said.setdefault(prediction, self._shown(prediction))

    def _note(self, answer):
        version = self.app.training.version(MODEL, answer["version"])
        saw = [c.name for c in self.app.packages.load(version.package).signature.inputs]
        self.said[answer["prediction_id"]] = {
            "version": answer["version"],
            "score": answer["score"],
            "features": {name: answer["features"][name] for name in saw},
            "entity": answer["entity"],
        }

    def _shown(self, prediction):
        found = self.client.call("prediction.show", prediction=prediction)
        return {k: found[k] for k in ("version", "score", "features", "entity")}

    def label(self, parcel, value):
        self.client.call("label.add", model=MODEL, value=value, entity={"parcel": parcel})
        self.truth[parcel] = value

    def killed_while(self, what, *, lines, wait_s=0.0):
        """Another process opens the home, does something, and dies of SIGKILL once it has written some lines."""
        self.close()
        command = [sys.executable, "-m", "tests.loop.life", str(self.folder), what, *self.known[-lines:]]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        found = []
        for _ in range(lines):
            line = process.stdout.readline()
            assert line, f"the process ended by itself with {process.wait()}"
            found.append(json.loads(line))
        try:
            process.wait(timeout=wait_s or None) if wait_s else None
        except subprocess.TimeoutExpired:
            pass
        process.send_signal(SIGKILL)
        process.wait()
        process.stdout.close()
        self.open()
        for answer in found:
            if "prediction_id" in answer:
                self._note(answer)

    # -- what must hold ------------------------------------------------------------------------------------------

    def check(self):
        """Raises AssertionError naming what does not hold."""
        self.app.bus.drain()
        faults = [*self._found(), *self._online()]
        assert not faults, "\n".join(faults[:12]) + f"\n({len(faults)} faults, {len(self.said)} answers)"

    def _found(self):
        """Every answer is found as it was, with its label; the last of each version is shown and explained too."""
        outcomes = self.app.monitoring.outcomes(MODEL).to_pylist()
        labels = {row["prediction_id"]: row["label"] for row in outcomes}
        last = {then["version"]: prediction for prediction, then in self.said.items()}
        for prediction, then in self.said.items():
            try:
                now = self.app.serving.find(prediction)
                if prediction in last.values():
                    yield from self._shown_and_explained(prediction)
            except hk.HanokError as error:
                yield f"{prediction}: {type(error).__name__}: {error}"
                continue
            for name in ("version", "score", "entity", "features"):
                if getattr(now, name) != then[name]:
                    yield f"{prediction}: {name} was {then[name]!r}, is {getattr(now, name)!r}"
            truth = self.truth.get(then["entity"]["parcel"])
            if (label := labels.get(prediction)) != truth:
                yield f"{prediction} of {then['entity']}: its label is {label!r}, the newest is {truth!r}"

    def _shown_and_explained(self, prediction):
        shown = self.client.call("prediction.show", prediction=prediction)
        if (score := self.said[prediction]["score"]) != shown["score"]:
            yield f"{prediction}: shown with score {shown['score']}, it was {score}"
        if not self.client.call("why", subject=prediction)["sentence"]:
            yield f"{prediction}: no explanation"

    def _online(self):
        model, now = self.app.training.model(MODEL), self.app.clock.now()
        spine = self.app.features.spine_rows(model)
        chosen = spine.filter(pa.compute.is_in(spine.column("parcel"), pa.array(self.known[-3:])))
        place = chosen.column_names.index("_at")
        chosen = chosen.set_column(place, "_at", pa.array([now] * chosen.num_rows, pa.timestamp("us", "UTC")))
        for row, offline in zip(
            chosen.to_pylist(), self.app.features.historical(model, chosen).to_pylist(), strict=True
        ):
            online = self.app.features.online_features(model, row)
            if unlike := {k: (v, offline[k]) for k, v in online.items() if offline[k] != v}:
                yield f"{row['parcel']}: online and offline differ: {unlike}"

    def served(self):
        return self.client.call("model.show", name=MODEL)["deployments"][0]


def child(folder, what, parcels_):
    life = Life(Path(folder))
    life.open()
    if what == "answering":
        for parcel in parcels_:
            answer = life.client.call("predict", model=MODEL, match={"parcel": parcel})
            print(json.dumps(answer, default=str), flush=True)  # noqa: T201
        sys.stdin.read()  # until it is killed
    if what == "training":
        print("{}", flush=True)  # noqa: T201
        life.client.call("feature.materialize", name="depot")
        life.client.call("train", model=MODEL, reason="never ends")
        sys.stdin.read()


if __name__ == "__main__":
    child(sys.argv[1], sys.argv[2], sys.argv[3:])
