"""Tuning as people meet it: a function in a notebook, an experiment file with a command."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import uuid

import pytest

pytest.importorskip("optuna")

import hanok as hk
from hanok.core.errors import Invalid, Unavailable
from hanok.sdk.client import Client
from hanok.sdk.tuning.pool import Pool

SPACE = {"x": {"_type": "uniform", "_value": [-3, 3]}, "kind": {"_type": "choice", "_value": ["a", "b"]}}

TRIAL = textwrap.dedent(
    """
    import json, os, urllib.request

    url, KIND = os.environ["NNI_TRIAL_COMMAND_CHANNEL"], {"content-type": "application/json"}

    def put(body):
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), KIND, method="PUT"))

    put({"type": "request_parameter"})
    record = json.loads(json.loads(urllib.request.urlopen(url).read())["parameter"])
    x = record["parameters"]["x"]

    def metric(kind, sequence, value):
        inner = {"parameter_id": record["parameter_id"], "trial_job_id": os.environ["NNI_TRIAL_JOB_ID"], "type": kind,
                 "sequence": sequence, "value": json.dumps(value)}
        put({"type": "metric", "metric": json.dumps(inner)})

    number = int(os.environ["NNI_TRIAL_SEQ_ID"])
    if number == 1:
        raise SystemExit("broken on purpose")
    if number == 2:
        raise SystemExit(0)
    for step in range(2):
        metric("PERIODICAL", step, {"default": x * x + 1 / (step + 1)})
    metric("FINAL", 0, "not a number" if number == 3 else {"default": x * x})
    metric("FINAL", 0, 99.0)
    """
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One for all; each search has a name of its own."""
    with hk.open(tmp_path_factory.mktemp("home")) as client:
        yield client


@pytest.fixture
def name():
    return f"s-{uuid.uuid4().hex[:8]}"


def test_a_function_is_tuned_and_each_trial_is_a_run(home):
    found = hk.tune(lambda p: p["x"] ** 2 + (p["kind"] == "b"), SPACE, trials=8, name="bowl", seed=1, client=home)
    assert found.trials == 8 and found.params["kind"] == "a" and found.value < 2
    runs = home.runs(experiment="bowl").to_pylist()
    assert len(runs) == 8
    again = hk.tune(lambda p: p["x"] ** 2, SPACE, trials=10, name="bowl", client=home)
    assert again.trials == 10


def test_workers_share_the_trials_and_a_failing_one_stops_nobody(home, name):
    def objective(params, trial):
        if trial.number % 3 == 0:
            raise ValueError("bad luck")
        trial.report(params["x"])
        return params["x"] ** 2

    found = hk.tune(objective, SPACE, trials=9, workers=3, name=name, client=home)
    counts = home.call("study.show", name=name)["counts"]
    assert found.trials == 9 and counts == {"complete": 6, "failed": 3}
    (failed, *_) = home.call("study.trials", name=name, state="failed")
    assert failed["reason"] == "ValueError: bad luck"


def test_when_no_trial_ends_well_the_error_is_the_function_s_own(home):
    with pytest.raises(ZeroDivisionError):
        hk.tune(lambda p: 1 / 0, SPACE, trials=2, client=home)


def test_an_experiment_file_is_run_and_each_trial_ends_in_one_state_with_its_reason(tmp_path):
    (tmp_path / "trial.py").write_text(TRIAL)
    (tmp_path / "space.json").write_text(json.dumps(SPACE))
    (tmp_path / "config.yml").write_text(
        textwrap.dedent(
            f"""
            experimentName: by-file
            searchSpaceFile: space.json
            trialCommand: {sys.executable} -S trial.py
            trialConcurrency: 3
            maxTrialNumber: 6
            tuner:
              name: Random
              classArgs: {{optimize_mode: minimize, seed: 3}}
            trainingService: {{platform: local}}
            """
        )
    )
    command = [sys.executable, "-m", "hanok", "tune", "config.yml", "--home", "home", "--json"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=_environment(tmp_path))
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(ran.stdout)
    assert shown["counts"] == {"complete": 3, "failed": 3}
    with hk.open(tmp_path / "home") as client:
        trials = client.call("study.trials", name="by-file")
        reasons = {t["number"]: t["reason"] for t in trials}
        assert "status 1" in reasons[1] and "broken on purpose" in reasons[1]
        assert "without a final result" in reasons[2] and "no number" in reasons[3]
        best = shown["best"][0]
        assert best["values"] == [pytest.approx(best["params"]["x"] ** 2)]
        assert set(best["reports"]) == {"0", "1"}
        moved = client.call("study.export", name="by-file")
        assert client.call("study.import", study=moved, name="copy") == {"name": "copy", "trials": 6}
        assert client.call("study.import", study=moved, name="copy") == {"name": "copy", "trials": 0}
        assert client.call("study.show", name="copy")["counts"] == shown["counts"]


def _environment(tmp_path):
    import os

    return os.environ | {"HOME": str(tmp_path)}


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_study_that_goes_on_draws_on(home, name, sampler):
    seen = []
    space = {"x": {"_type": "uniform", "_value": [0, 1]}}
    for trials in (3, 6):
        hk.tune(lambda p: seen.append(p["x"]) or p["x"], space, trials=trials, name=name, sampler=sampler, client=home)
    assert len(set(seen)) == len(seen) == 6
    with pytest.raises(hk.HanokError, match="another space"):
        hk.tune(lambda p: 1.0, {"y": space["x"]}, trials=9, name=name, client=home)


class Unsteady:
    """A transport that does not answer each kind of call once: before it was heard, or when it was done."""

    def __init__(self, steady, *, done, error):
        self._steady, self._done, self._error = steady, done, error
        self.failed, self.address = set(), ""

    def call(self, verb, arguments):
        return self._once(verb, lambda: self._steady.call(verb, arguments))

    def upload(self, of, identity, path, file):
        return self._once("upload", lambda: self._steady.upload(of, identity, path, file))

    def _once(self, kind, work):
        begins = kind in ("study.list", "study.create") or (kind == "study.ask" and self._done)
        fails = not begins and kind not in self.failed and not self.failed.add(kind)
        if fails and not self._done:
            raise self._error
        answer = work()
        if fails:
            raise self._error
        return answer


def search(client, name, tmp_path, way):
    """Three trials of a function or of a command, each with code, output, reports and a value."""
    if way == "function":

        def objective(params, trial):
            trial.report(params["x"])
            trial.run.log(loss=2.0)
            return params["x"]

        return hk.tune(objective, SPACE, trials=3, name=name, client=client)
    (tmp_path / "trial.py").write_text(TRIAL.replace("number ==", "None =="))
    client.call("study.create", name=name, space=SPACE, limits={"max_trials": 3, "concurrency": 3})
    return Pool(
        client, name, f"{sys.executable} -S trial.py && echo said", tmp_path, keep=tmp_path / "kept", concurrency=3
    ).run()


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("way", ["function", "command"])
def test_a_worker_outlives_an_outage_at_each_of_its_calls(home, name, tmp_path, way, done):
    unsteady = Client(Unsteady(home._transport, done=done, error=Unavailable("it restarts")))
    search(unsteady, name, tmp_path, way)
    assert {"upload", "study.report", "study.tell", "run.record"} <= unsteady._transport.failed
    assert home.call("study.show", name=name)["counts"] == {"complete": 3}
    points = [p for p in home.runs(experiment=name, history=True).to_pylist() if p["key"] == "intermediate"]
    each = [(p["run_id"], p["step"]) for p in points]
    assert len(each) == len(set(each)) >= 3, "each report counts once"
    runs = [home.app.tracking.runs.get(t["run"]) for t in home.call("study.trials", name=name)]
    code = [home.app.tracking.artifacts.children_under(run.artifact_uri, "code") for run in runs]
    assert any(a.path.endswith(".py") for files in code for a in files)


@pytest.mark.parametrize("way", ["function", "command"])
def test_a_call_that_is_refused_ends_its_one_trial(home, name, tmp_path, way):
    class UploadRefused(Unsteady):
        def call(self, verb, arguments):
            return self._steady.call(verb, arguments)

    refused = UploadRefused(home._transport, done=False, error=Invalid("no such place"))
    search(Client(refused), name, tmp_path, way)
    assert home.call("study.show", name=name)["counts"] == {"complete": 2, "failed": 1}
    (failed,) = home.call("study.trials", name=name, state="failed")
    assert "no such place" in failed["reason"]


def test_a_search_without_a_result_says_why(home):
    with pytest.warns(UserWarning, match="no number"):
        assert hk.tune(lambda p: "bad", SPACE, trials=1, client=home).value is None


def test_a_search_whose_process_died_goes_on_when_its_trial_is_given_up(home, name):
    limits = {"max_trials": 2, "lease_s": 0.3}
    home.call("study.create", name=name, space=SPACE, limits=limits)
    home.call("study.ask", name=name, worker="died")
    assert hk.tune(lambda p: p["x"], SPACE, trials=2, name=name, client=home).value is not None
    assert home.call("study.show", name=name)["counts"] == {"complete": 2, "failed": 1}
