"""The best trial of a study becomes a model version; a trial is a run with its code, params, metrics and artifacts."""

from __future__ import annotations

import json
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("optuna")

import hanok as hk
from hanok.sdk.tuning.pool import Pool

SPACE = {"c": {"_type": "choice", "_value": [0.01, 1.0, 100.0]}}
X = np.random.default_rng(0).normal(size=(200, 2))
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with hk.open(tmp_path_factory.mktemp("home")) as client:
        yield client


@pytest.fixture(scope="module")
def tuned(home):
    """A search whose three trials each logged a model and a file."""
    return hk.tune(objective, SPACE, trials=3, sampler="grid", name="logits", client=home)


def objective(params, trial):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=params["c"]).fit(X, Y)
    trial.run.model(model, X, Y, name="logit")
    trial.run.artifact(json.dumps(params), "params.json")
    return 1 - model.score(X, Y)


def artifacts(home, run):
    tracking = home.app.tracking
    uri = tracking.runs.get(run).artifact_uri
    folders = ["", "code", "environment"]
    return {a.path for folder in folders for a in tracking.artifacts.children_under(uri, folder) if not a.is_folder}


def test_the_best_trial_becomes_a_version_that_answers_and_that_knows_where_it_is_from(home, tuned):
    made = tuned.register("churn")
    assert (made["version"], made["trial"], made["params"]) == (1, tuned.number, tuned.params)
    assert tuned.register("churn")["version"] == 1, "again, it is the version that is there"
    version = home.app.tracking.registry.version("churn", 1)
    assert version.run_id == made["run"] and version.facts["metrics"]["value"] == tuned.value
    loaded = home.app.packages.load(version.package)
    assert len(loaded.score({"x0": list(X[:5, 0]), "x1": list(X[:5, 1])})) == 5
    nodes = {n["kind"]: n["name"] for n in home.call("lineage", node="churn@1")["nodes"]}
    assert nodes["study"] == "logits" and nodes["logged_model"] == "logit"
    assert nodes["run"] == f"logits-{tuned.number}"
    other = (tuned.number + 1) % 3
    assert tuned.register("churn", trial=other)["version"] == 2
    with pytest.raises(hk.HanokError, match=f"trial {other} of study 'logits'"):
        home.call("reproduce", subject="churn@2")


def test_each_trial_is_a_run_with_its_code_params_metrics_and_artifacts(home, tuned):
    trials = home.call("study.trials", name="logits")
    for trial in trials:
        run = home.app.tracking.runs.get(trial["run"])
        assert run.status == "FINISHED" and run.params == {"c": str(trial["params"]["c"])}
        assert run.latest["value"] == trial["values"][0]
        assert {"hanok.command", "hanok.python", "mlflow.source.git.commit"} <= set(run.tags)
        assert {"params.json", "code/objective.py", "environment/packages.txt"} <= artifacts(home, run.id)
        assert len(run.models_written) == 1
    compared = home.call("run.compare", runs=[t["run"] for t in trials])
    assert set(compared["params"]) == {"c"}


REFUSED = [
    ({"name": "none", "model": "refused"}, "no study 'none'"),
    ({"name": "plain", "model": "refused"}, "logged no model"),
    ({"name": "plain", "model": "refused", "trial": 7}, "no trial 7"),
    ({"name": "failed", "model": "refused"}, "come to its end"),
    ({"name": "front", "model": "refused"}, "say which one"),
]


def test_what_cannot_become_a_version_is_refused_and_nothing_is_made(home):
    hk.tune(lambda p: p["c"], SPACE, trials=1, name="plain", client=home)
    home.call("study.create", name="failed", space=SPACE)
    home.call("study.create", name="front", space=SPACE, directions=["minimize", "maximize"], sampler="random")
    for values in ([1.0, 1.0], [2.0, 2.0]):
        (trial,) = home.call("study.ask", name="front", worker="w")
        home.call("study.tell", trial=trial["id"], value=values)
    for asked, said in REFUSED:
        with pytest.raises(hk.HanokError, match=said):
            home.call("study.register", **asked)
    assert "refused" not in {m["name"] for m in home.call("model.list")}


def test_the_command_of_a_trial_logs_into_the_trial_s_run(home, tmp_path):
    script = """
        import os, pathlib
        import numpy as np
        from sklearn.linear_model import LogisticRegression
        import hanok as hk

        X = np.random.default_rng(0).normal(size=(200, 2))
        Y = (X[:, 0] > 0).astype(int)
        model = LogisticRegression().fit(X, Y)
        with hk.run() as run:
            run.model(model, X, Y)
            run.log(loss=0.5)
        metrics = pathlib.Path(os.environ["NNI_SYS_DIR"], ".nni", "metrics")
        text = '{"type": "FINAL", "sequence": 0, "value": "0.25"}'
        metrics.write_text(f"ME{len(text):06d}{text}")
    """
    (tmp_path / "trial.py").write_text(textwrap.dedent(script))
    home.call("study.create", name="by-file", space=SPACE, limits={"max_trials": 1})
    Pool(home, "by-file", f"{sys.executable} trial.py", tmp_path, keep=tmp_path / "trials").run()
    made = home.call("study.register", name="by-file", model="by-file")
    assert (made["version"], made["values"]) == (1, [0.25])
    found = home.app.tracking.runs.get(made["run"])
    assert found.status == "FINISHED" and found.latest["loss"] == 0.5 and found.latest["value"] == 0.25
    assert "trial.py" in found.tags["hanok.command"] and "code/trial.py" in artifacts(home, found.id)
    assert len(home.runs(experiment="by-file")) == 1, "the trial's own run and no other"
