"""`hk.autolog()`: a fit is a run, with what it was and what came of it; undone, the libraries are as they were."""

import warnings

import lightgbm
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hanok as hk

X = np.random.default_rng(0).normal(size=(120, 3))
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("HANOK_URL", "HANOK_OFFLINE", "HANOK_JOURNAL", "HANOK_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def logging(home):
    made = hk.autolog(experiment="auto", where=home)
    yield made
    made.undo()


def runs(home):
    with hk.open(home) as client:
        return [client.app.tracking.runs.get(r["id"]) for r in client.call("run.list", experiment="auto")]


def test_a_fit_is_a_run_with_params_scores_data_and_model(home, logging):
    LogisticRegression(C=0.5).fit(X, Y)
    (run,) = runs(home)
    assert (run.name, run.status, run.params["C"]) == ("LogisticRegression", "FINISHED", "0.5")
    assert 0.9 < run.latest["training_score"] <= 1 and run.latest["training_log_loss"] > 0
    assert [d.dataset.name for d in run.datasets] == ["training data"]
    assert len(run.models_written) == 1


def test_the_fits_inside_a_pipeline_or_a_search_belong_to_it(home, logging):
    make_pipeline(StandardScaler(), Ridge()).fit(X, X[:, 1])
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3).fit(X, Y)
    found, pipeline = runs(home)
    assert pipeline.name == "Pipeline"
    assert found.params["best_C"] == str(search.best_params_["C"])
    assert found.latest["best_cv_score"] == pytest.approx(search.best_score_)


def test_lightgbm_logs_each_round_by_either_interface(home, logging):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions would rather have eval_X
        lightgbm.LGBMClassifier(n_estimators=4, verbose=-1).fit(X, Y, eval_set=[(X, Y)])
    data = lightgbm.Dataset(X, Y, free_raw_data=False)
    lightgbm.train({"objective": "binary", "verbose": -1}, data, 3)
    booster, classifier = runs(home)
    (curve,) = [key for key in classifier.latest if key.endswith("binary_logloss")]
    with hk.open(home) as client:
        assert len(client.app.tracking.runs.history(classifier.id, curve)) == 4
    assert (booster.params["objective"], booster.params["num_boost_round"]) == ("binary", "3")
    assert len(booster.models_written) == len(classifier.models_written) == 1


def test_inside_a_run_the_fit_is_logged_into_it(home, logging):
    with hk.run("mine", experiment="auto", where=home, capture=()):
        Ridge(alpha=2.0).fit(X, X[:, 1])
    (run,) = runs(home)
    assert (run.name, run.params["alpha"]) == ("mine", "2.0")


def test_undone_the_libraries_are_as_they_were(home):
    before = (LogisticRegression.fit, lightgbm.train, GridSearchCV.fit)
    hk.autolog(where=home).undo()
    assert (LogisticRegression.fit, lightgbm.train, GridSearchCV.fit) == before


def test_when_logging_fails_the_training_goes_on_with_one_warning(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    made = hk.autolog(where=blocked)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            for _ in range(2):
                assert Ridge().fit(X, X[:, 1]).predict(X[:1]).shape == (1,)
        assert sum("training goes on" in str(w.message) for w in told) == 1
    finally:
        made.undo()


def test_a_training_that_fails_fails_as_it_did(home, logging):
    with pytest.raises(ValueError, match="inconsistent numbers"):
        LogisticRegression().fit(X, Y[:5])


def test_a_model_that_cannot_be_kept_safely_is_said_and_the_rest_is_logged(home, logging):
    class Odd(Ridge):
        def predict(self, X):
            return super().predict(X) + 1

    with pytest.warns(UserWarning, match="training goes on"):
        Odd().fit(X, X[:, 1])
    (run,) = runs(home)
    assert run.tags["hanok.model"].startswith("not kept")
    assert KNeighborsRegressor().fit(X, Y) is not None
