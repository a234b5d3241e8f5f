"""The search for an ensemble: what it promises is what the exported model answers, and its plan makes it again."""

from dataclasses import replace

import numpy as np
import orjson
import pyarrow as pa
import pytest

from hanok.compute.feature_steps import products
from hanok.compute.frames import Frame, encode
from hanok.compute.metrics import evaluate
from hanok.compute.runtimes.ensemble import Assembly
from hanok.compute.runtimes.growing import Booster, Rows, settings_text
from hanok.core.declare import AutoML, as_dict, from_dict
from hanok.core.errors import NotTrainable
from hanok.core.records import from_body, to_body
from hanok.core.training import Plan
from hanok.engine.executors.finished import Finished
from hanok.parts.automl.blending import selected, temperature
from hanok.parts.automl.folding import folds_of, newest_part
from hanok.parts.automl.service import run_plan, search, search_key
from hanok.parts.automl.solving import linear, shape_of
from hanok.parts.automl.steps import learn

pytest.importorskip("lightgbm")
WORDS = ["red", "old", "large", "paper", "wood", "sea", "ship", "town"]


def rows_of(task="binary", rows=160, seed=0):
    rng = np.random.default_rng(seed)
    x, level = rng.normal(size=(rows, 2)), rng.integers(0, 12, rows)
    z = x[:, 0] * x[:, 1] + np.sin(level) + 0.3 * rng.normal(size=rows)
    label = {
        "binary": (z > 0).astype(int),
        "regression": np.exp(z),
        "multiclass": np.array(["lo", "mid", "hi"])[np.digitize(z, [-0.7, 0.7])],
    }[task]
    texts = [" ".join(rng.choice(WORDS, 4)) + f" {i}" for i in range(rows)]
    return pa.table(
        {
            "a": pa.array(np.where(rng.random(rows) < 0.1, np.nan, x[:, 0]), from_pandas=True),
            "b": x[:, 1],
            "level": [f"l{v}" for v in level],
            "note": texts,
            "y": label,
            "_at": pa.array(np.zeros(rows, np.int64)),
        }
    )


FEATURES = ["a", "b", "level", "note"]


def frame(task="binary", **said):
    return Frame.of(rows_of(task, **said), FEATURES, task, "y")


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_serves_is_what_was_trained_row_by_row_and_its_plan_makes_it_again(task):
    data = frame(task)
    found = search(data, AutoML(trials=4, mode="quality"))
    assert len(found.plan.members) > 1 and found.lines[-1].name == "baseline"
    runtime = found.package.load()
    scores = runtime.score(data.X)
    one_by_one = np.array([runtime.score(data.X[i : i + 1])[0] for i in range(40)])
    assert np.array_equal(one_by_one, scores[:40])
    metric = found.metric
    assert evaluate(task, data.y, scores)[metric] < found.lines[-1].metrics[metric]
    unknown = encode(data.signature, {"a": [None], "b": [0.1], "level": ["new"], "note": [None]})
    assert np.isfinite(runtime.score(unknown)).all()
    again = from_body(Plan, to_body(found.plan), what="plan")
    assert again == found.plan and run_plan(data, again).package.files == found.package.files
    assert sum(found.package.notes["importance"].values()) == pytest.approx(1, abs=0.02)


def settings_of(package):
    said = from_body(Assembly, orjson.loads(package.files["ensemble.json"]), what="an ensemble")
    return [(m.kind, m.columns, m.weight, m.log) for m in said.members], said.temperature


@pytest.mark.parametrize(("tail", "news"), [(True, ([0.0], [-90.0] * 60)), (False, ([900.0],))])
def test_what_is_fitted_at_the_end_has_the_settings_that_were_judged_whatever_the_held_out_labels_are(tail, news):
    rows = rows_of("regression", rows=120)
    if not tail:  # nothing asks for a logarithm until the last rows are there
        rows = rows.set_column(4, "y", pa.array(5 + np.log(rows.column("y").to_numpy())))
    judged = Frame.of(rows, FEATURES, "regression", "y")
    found = search(judged, AutoML(trials=4 if tail else 2, mode="quality"))
    assert found.plan.log is tail and any(m[3] for m in settings_of(found.package)[0]) is tail
    again = from_body(Plan, to_body(found.plan), what="plan")
    for more in news:
        later = rows.slice(0, len(more)).set_column(4, "y", pa.array(more))
        whole = replace(judged, table=pa.concat_tables([judged.table, later.select([*FEATURES, "y"])]))
        made = run_plan(replace(whole, at=np.zeros(whole.rows, np.int64)), again).package
        assert settings_of(made) == settings_of(found.package)
        assert np.isfinite(made.load().score(judged.X)).all()


def test_a_plan_of_an_earlier_version_looks_at_the_rows_of_each_fit_as_it_did():
    found = search(frame("regression"), AutoML(trials=2, mode="quality"))
    old = from_body(Plan, {k: v for k, v in to_body(found.plan).items() if k != "log"}, what="plan")
    assert old.log is None and run_plan(frame("regression"), old).package.files == found.package.files


def test_a_light_model_has_one_member_and_a_bound_on_the_microseconds_is_kept_by_leaving_members_out():
    light = search(frame(), AutoML(trials=2, mode="light"))
    assert len(light.plan.members) == 1
    bounded = search(frame(), AutoML(trials=3, max_latency_us=1))
    assert len(bounded.plan.members) == 1 and "max_latency_us" in bounded.lines[0].why


def test_a_budget_of_a_second_gives_a_valid_model():
    found = search(frame(rows=400), AutoML(budget="1s"))
    assert np.isfinite(found.package.load().score(frame().X)).all()


def test_no_row_is_told_of_its_own_label():
    data = frame(rows=400)
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 2, 400).astype(float)
    own = data.X.copy()
    own[:, 2] = np.arange(400) // 2  # pairs of rows
    inputs = data.signature.owners
    wide = replace(inputs[2], categories=tuple(map(str, range(200))))
    learnt = learn(own, noise, (*inputs[:2], wide, *inputs[3:]), "binary", 2, np.arange(400) % 4, topics=False)
    means = learnt.matrix[:, data.X.shape[1]]
    assert abs(np.corrcoef(means, noise)[0, 1]) < 0.2


def test_folds_keep_groups_whole_share_out_classes_and_windows_look_ahead():
    data = frame(rows=300)
    groups = np.random.default_rng(2).integers(0, 40, 300)
    for fold in folds_of(replace(data, groups=groups), 1):
        assert not set(groups[fold.fit]) & set(groups[fold.valid])
    rare = replace(data, table=data.table.set_column(4, "y", pa.array([int(i < 10) for i in range(300)])))
    assert all(rare.y[f.valid].sum() == 2 for f in folds_of(rare, 1))
    timed = replace(data, at=np.arange(300, dtype=np.int64))
    assert all(timed.at[f.fit].max() < timed.at[f.valid].min() for f in folds_of(timed, 1))


def grouped(groups, at, **said):
    rows = len(groups)
    return replace(frame(rows=rows), groups=np.asarray(groups), at=np.asarray(at, np.int64), **said)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_split_is_declared_no_validation_knows_later_rows_those_of_the_gap_or_other_rows_of_a_group(seed):
    rng = np.random.default_rng(seed)
    rows, gap = int(rng.integers(200, 400)), int(rng.choice([0, 3]))
    lasting = rng.integers(0, rng.integers(4, 40), rows)  # groups that live on through time
    at = np.sort(rng.integers(0, rng.choice([12, 30, 1000]), rows))
    for groups in (lasting, None):
        data = replace(frame(rows=rows), groups=groups, at=at, gap_us=gap)
        folds = folds_of(data, seed)
        for fold in (*folds, newest_part(data, 0.2)):
            assert fold.ahead or (groups is None and not gap)
            assert data.at[fold.fit].max() + gap < data.at[fold.valid].min() or not fold.ahead
            assert groups is None or not set(groups[fold.fit]) & set(groups[fold.valid])
        judged = np.concatenate([fold.valid for fold in folds])
        assert len(judged) == len(set(judged))  # a row counts once


def test_windows_of_few_instants_do_not_overlap():
    for days, windows in ((2, 1), (8, 3)):
        folds = folds_of(replace(frame(rows=200), at=np.repeat(np.arange(days), 200 // days)), 1)
        judged = np.concatenate([fold.valid for fold in folds])
        assert len(folds) == windows and len(judged) == len(set(judged))


def test_a_random_split_is_judged_at_random_and_rows_of_one_group_alone_are_not_judged():
    folds = folds_of(grouped(np.arange(200) % 20, np.arange(200), at_random=True), 1)
    assert len(folds) == 5 and sorted(np.concatenate([f.valid for f in folds])) == list(range(200))
    for at in (np.zeros(200), np.arange(200)):
        for settings in (AutoML(trials=1, mode="quality"), AutoML(trials=0)):
            with pytest.raises(NotTrainable, match="one group"):
                search(grouped(np.zeros(200, int), at), settings)


def test_members_are_chosen_that_help_each_other():
    rng = np.random.default_rng(3)
    y = rng.normal(size=500)
    errors = rng.normal(size=(3, 500))
    answers = [y + errors[0], y + errors[1], y + 3 * errors[2]]
    chosen = dict(selected("regression", "rmse", y, answers))
    assert set(chosen) >= {0, 1} and chosen[0] + chosen[1] > 0.85 and sum(chosen.values()) == pytest.approx(1)
    sure = np.clip((y > 0) * 0.98 + 0.01, 0, 1)
    wrong = np.where(rng.random(500) < 0.2, 1 - sure, sure)
    assert temperature("binary", (y > 0).astype(float), wrong) > 1


def test_linear_models_equal_those_of_scikit_learn():
    models = pytest.importorskip("sklearn.linear_model")
    data = frame("multiclass")
    x = np.ascontiguousarray(np.nan_to_num(data.X[:, :2]))
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    shape = shape_of(x, [0, 1], [])
    body = orjson.loads(linear(x, data.y, shape, "multiclass", 3, 1.0))
    known = models.LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(scaled, data.y)
    assert np.array(body["coefficients"])[:, ::2] == pytest.approx(known.coef_, abs=2e-3)
    straight = orjson.loads(linear(x, data.y, shape, "regression", 0, 0.5))
    ridge = models.Ridge(alpha=2.0).fit(scaled, data.y)
    assert np.array(straight["coefficients"])[0, ::2] == pytest.approx(ridge.coef_, rel=1e-6)


def test_trees_grown_through_the_library_are_those_of_the_package():
    import lightgbm as lgb

    data = frame("multiclass")
    said = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "seed": 1, "verbosity": -1}
    said |= {"deterministic": "true", "min_data_in_leaf": 5}
    booster = Booster(Rows(data.X, data.y, settings_text(said, [2])), settings_text(said, [2]), 3)
    for _ in range(5):
        booster.grow()
    known = lgb.train(said, lgb.Dataset(data.X, data.y, categorical_feature=[2]), num_boost_round=5)
    trees = [
        t.partition(b"\nend of trees")[0].partition(b"Tree=0")[2]
        for t in (booster.text(5), known.model_to_string().encode())
    ]
    assert trees[0] == trees[1]
    assert booster.gains(5, data.X.shape[1]) == pytest.approx(known.feature_importance("gain"), rel=1e-4)


def test_products_have_the_same_bits_whatever_the_number_of_rows():
    rng = np.random.default_rng(4)
    rows, weights = rng.normal(size=(300, 37)), rng.normal(size=(64, 37))
    whole = products(rows, weights)
    assert np.array_equal(whole[17:18], products(rows[17:18], weights)) and whole == pytest.approx(rows @ weights.T)


def test_a_mode_is_a_declaration_and_a_plain_one_is_written_as_before():
    assert set(as_dict(AutoML(trials=3))) == {"kind", "metric", "budget", "trials", "seed"}
    for chosen in (AutoML(budget="8s", mode="light"), AutoML(trials=1, max_latency_us=100)):
        assert from_dict(as_dict(chosen)) == chosen and chosen.as_ensemble
    assert not AutoML(trials=3).as_ensemble and AutoML(budget="8s").as_ensemble


def test_a_search_whose_metric_has_no_value_says_so():
    data = frame("regression")
    infinite = replace(data, table=data.table.set_column(4, "y", pa.array(np.full(160, np.inf))))
    with pytest.raises(NotTrainable, match="infinite"):
        search(infinite, AutoML(trials=0, mode="quality"))


@pytest.mark.parametrize("settings", [AutoML(trials=0), AutoML(trials=1, mode="light")])
def test_labels_beyond_what_trees_learn_in_are_refused_and_large_ones_have_finite_importances(settings):
    data = frame("regression")

    def times(factor):
        return replace(data, table=data.table.set_column(4, "y", pa.array(data.y * factor)))

    for factor in (1e39, 1e160, -1e300):
        with pytest.raises(NotTrainable, match="larger unit"):
            search(times(factor), settings)
    found = search(times(1e30), settings)
    assert np.isfinite(list(found.package.notes["importance"].values())).all()


class Cut(Exception):
    pass


class CutDown(Finished):
    """Keeps parts, and is cut down after some of them."""

    def __init__(self, root, after):
        super().__init__(root, "s")
        self.after, self.read = after, 0

    def put(self, key, content):
        super().put(key, content)
        self.after -= 1
        if not self.after:
            raise Cut

    def get(self, key):
        found = super().get(key)
        self.read += found is not None
        return found


def test_a_search_that_was_cut_down_goes_on_with_what_is_finished_and_ends_as_if_nothing_had_been(tmp_path):
    data, settings = frame(rows=100), AutoML(trials=2, mode="quality")
    whole = search(data, settings)
    with pytest.raises(Cut):
        search(data, settings, CutDown(tmp_path, 7))
    damaged = sorted((tmp_path / "s").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-3])
    again = CutDown(tmp_path, 100)
    found = search(data, settings, again)
    assert again.read == 6 and found.package.files == whole.package.files  # the damaged one was fitted again
    assert not (tmp_path / "s").exists()


def test_what_the_clock_ended_is_not_kept_and_a_search_that_takes_finished_parts_is_as_one_without(
    tmp_path, monkeypatch
):
    data, whole = frame(rows=200), AutoML(trials=1, mode="quality")
    expected = search(data, whole)

    def hurried(kept):
        now = iter(np.arange(0, 1000, 0.05))
        with monkeypatch.context() as patched:
            patched.setattr("hanok.parts.automl.quality.wall_seconds", lambda: float(next(now)))
            return search(data, AutoML(budget="5s"), kept)

    kept = CutDown(tmp_path, 10_000)
    kept.done = lambda: None
    stopped = hurried(kept)
    assert not any((tmp_path / "s").glob("*"))
    found = search(data, whole, CutDown(tmp_path, 10_000))
    assert found.package.files == expected.package.files and found.lines[0].why == expected.lines[0].why
    assert "1 validation part" in stopped.lines[0].why


def test_the_parts_of_other_rows_or_another_seed_are_not_taken_and_a_larger_budget_goes_on():
    data = frame(rows=100)
    key = search_key(data, AutoML(budget="3s"))
    assert key == search_key(data, AutoML(budget="60s"))
    assert len({key, search_key(data, AutoML(budget="3s", seed=8)), search_key(frame(rows=101), AutoML())}) == 3
