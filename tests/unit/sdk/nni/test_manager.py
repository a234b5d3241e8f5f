"""Hanok where NNI's manager stood: a tuner process over a WebSocket, trials as processes, NNI's interface and files."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

pytest.importorskip("optuna")

import hanok as hk
from hanok.core.errors import Invalid
from hanok.sdk.nni.__main__ import listen
from hanok.sdk.nni.arguments import read_arguments
from hanok.sdk.nni.experiment import Experiment
from hanok.sdk.nni.install import find, install, uninstall
from hanok.sdk.nni.web import Rest, serve
from hanok.stores.nni_files import ExperimentFile, ExperimentList
from hanok.wire.nni.websocket import Frames, accept_key, encode_frame

TUNER = """
import base64, json, os, socket, struct, sys
place = os.environ["NNI_TUNER_COMMAND_CHANNEL"].removeprefix("ws://").partition("/")
host, _, port = place[0].partition(":")
s = socket.create_connection(("127.0.0.1", int(port)))
s.sendall(f"GET /{place[2]} HTTP/1.1\\r\\nHost: {place[0]}\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n".encode())
f = s.makefile("rb")
while f.readline().strip():
    pass

def send(kind, content):
    body = json.dumps({"type": kind, "content": content}).encode()
    mask = b"abcd"
    size = bytes([0x80 | len(body)]) if len(body) < 126 else bytes([0x80 | 126]) + struct.pack(">H", len(body))
    s.sendall(b"\\x81" + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(body)))

number = 0
while True:
    head = f.read(2)
    size = head[1] if head[1] < 126 else struct.unpack(">H", f.read(2))[0]
    command = json.loads(f.read(size))
    kind, content = command["type"], command.get("content")
    if kind == "IN":
        send("ID", "")
    if kind == "GE":
        for _ in range(int(content)):
            if number == 3:
                send("NO", "")
                break
            record = {"parameter_id": number, "parameter_source": "algorithm", "parameters": {"x": number}}
            send("TR", json.dumps(record))
            number += 1
    if kind == "ME" and json.loads(json.loads(content)["value"]) == 66:
        sys.exit("cannot take 66")
    if kind == "TE":
        break
"""
TRIAL = """
import json, os, pathlib, sys
folder = pathlib.Path(os.environ["NNI_SYS_DIR"])
x = json.loads((folder / "parameter.cfg").read_text())["parameters"]["x"]
if x == 1:
    sys.exit("broken on purpose")
def line(kind, value):
    text = json.dumps({"type": kind, "sequence": 0, "value": json.dumps(value)})
    return f"ME{len(text) + 1:06d}{text}\\n"
final = VALUE
(folder / ".nni" / "metrics").write_text(line("PERIODICAL", x / 2) + line("FINAL", final))
"""


def started(tmp_path, server, *, value="x", action="create", experiment="e1", tuner=True, **config):
    """A running experiment, and a way to ask it over HTTP."""
    (tmp_path / "tuner").write_text(f"#!{sys.executable}\n" + TUNER)
    (tmp_path / "tuner").chmod(0o755)
    (tmp_path / "trial.py").write_text(TRIAL.replace("VALUE", value))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["main.js", "--port", str(port), "--experiment-id", experiment, "--action", action]
    words += ["--experiments-directory", str(tmp_path / "nni"), "--python-interpreter", str(tmp_path / "tuner")]
    words += [] if tuner else ["--tuner-command-channel", "of another process"]
    arguments = read_arguments(words)
    listed = ExperimentList(tmp_path / "nni" / ".experiment")
    (arguments.folder / "log").mkdir(parents=True, exist_ok=True)
    (tmp_path / "nni" / ".experiment").write_text(json.dumps({experiment: {"id": experiment, "pid": os.getpid()}}))
    made = Experiment(arguments, ExperimentFile(arguments.folder / "db"), listed, server)
    rest = Rest(made, listed, "3.0", made.stop)
    web = serve(listen(words), rest, made, tmp_path, arguments.folder / "log")
    threading.Thread(target=web.serve_forever, daemon=True).start()

    def ask(path, body=None, method=None, **headers):
        content = None if body is None else json.dumps(body).encode()
        address, given = f"http://127.0.0.1:{port}/api/v1/nni/{path}", {"content-type": "application/json"} | headers
        request = urllib.request.Request(address, content, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                read = reply.read()
                return json.loads(read) if read else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["error"]

    given = {
        "experimentName": "n",
        "searchSpace": {"x": {"_type": "uniform", "_value": [0, 9]}},
        "trialCommand": f"{sys.executable} trial.py",
        "trialCodeDirectory": str(tmp_path),
        "trialConcurrency": 2,
        "tuner": {"className": "mine.Tuner", "classArgs": {"optimize_mode": "minimize"}},
        "trainingService": {"platform": "local"},
    }
    ask.web, ask.given, ask.routes = web, given | config, sorted(rest._routes)
    return made, ask


def until(ask, *statuses):
    deadline = time.monotonic() + 60
    while (found := ask("check-status"))["status"] not in statuses:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    import uvicorn

    from hanok.server.run import bind, build

    with hk.open(tmp_path_factory.mktemp("home")) as client:
        listening = bind("127.0.0.1", 0)
        web = uvicorn.Server(uvicorn.Config(build(client.app), log_level="error", lifespan="off"))
        thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        web.should_exit = True
        thread.join(timeout=20)


def test_a_tuner_s_trials_run_and_nni_s_files_and_hanok_s_study_say_the_same(tmp_path, server):
    made, ask = started(tmp_path, server)
    assert ask("check-status") == {"status": "INITIALIZED", "errors": []}
    assert ask("experiment", ask.given) == {"experiment_id": "e1"}
    until(ask, "DONE")
    trials = ask("trial-jobs")
    assert {t["sequenceId"]: t["status"] for t in trials} == {0: "SUCCEEDED", 1: "FAILED", 2: "SUCCEEDED"}
    assert [float(json.loads(e["value"])) for e in ask("export-data")] == [0.0, 2.0]
    assert sorted(m["type"] for m in ask("metric-data")) == ["FINAL"] * 2 + ["PERIODICAL"] * 2
    assert len(ask("metric-data-latest")) == 4 and len(ask("metric-data-range/0/0")) == 2
    failed = next(t["trialJobId"] for t in trials if t["status"] == "FAILED")
    with urllib.request.urlopen(
        f"http://127.0.0.1:{made.arguments.port}/api/v1/nni/trial-file/{failed}/stderr"
    ) as file:
        assert file.read() == b"broken on purpose\n"
    assert ask("experiment-metadata")["status"] == "DONE"
    made.stop()
    study = hk.open(server).call("study.show", name="n-e1")
    assert study["counts"] == {"complete": 2, "failed": 1} and study["best"][0]["params"] == {"x": 0}
    states = hk.open(server).call("study.trials", name="n-e1", state="failed")
    assert "broken on purpose" in states[0]["reason"]
    ask.web.shutdown()
    _viewed, ask = started(tmp_path, server, action="view")
    ask("experiment", ask.given)
    assert ask("check-status")["status"] == "VIEWED" and ask("trial-jobs") == trials
    assert ask("trial-jobs", {"x": 1}) == (409, "the experiment is viewed: resume it to change it")
    ask.web.shutdown()


def test_a_tuner_that_fails_is_named_with_its_last_words_and_no_trial_runs_on(tmp_path, server):
    made, ask = started(tmp_path, server, value="66", experiment="e2")
    ask("experiment", ask.given)
    found = until(ask, "ERROR")
    assert "cannot take 66" in found["errors"][0]
    deadline = time.monotonic() + 60
    while any(t["status"] == "RUNNING" for t in ask("trial-jobs")):
        assert time.monotonic() < deadline, ask("trial-jobs")
        time.sleep(0.05)
    made.stop()
    ask.web.shutdown()


@pytest.fixture(scope="module")
def idle(tmp_path_factory):
    """An experiment that has not been started."""
    made, ask = started(tmp_path_factory.mktemp("idle"), "http://127.0.0.1:9", experiment="e3")
    yield made, ask
    ask.web.shutdown()


@pytest.fixture(scope="module")
def begun(tmp_path_factory, server):
    """A running experiment whose tuner never comes."""
    made, ask = started(tmp_path_factory.mktemp("begun"), server, experiment="e4", tuner=False)
    ask("experiment", ask.given)
    yield made, ask
    made.stop()
    ask.web.shutdown()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "nothing", None, 404, "no GET nothing"),
        ("GET", "trial-jobs/none", None, 404, "no trial 'none'"),
        ("POST", "experiment", [], 400, "an object"),
        ("POST", "experiment", {"trainingService": {"platform": "aml"}}, 400, "on this machine"),
        ("PUT", "experiment?update_type=OTHER", {"params": {}}, 409, "not been started"),
        ("POST", "tensorboard", {}, 400, "TensorBoard"),
        ("GET", "trial-file/none/../../../x", None, 404, "no trial"),
    ],
)
def test_what_makes_no_sense_is_refused_and_said(idle, method, path, body, status, said):
    code, error = idle[1](path, body, method)
    assert code == status and said in error


TEXT, WHOLE, DURATION, OBJECT = (
    [3, True, [], {}],
    ["two", 0, -1, 1.5, True, []],
    ["soon", -1, True, [], ""],
    ["x", 3, []],
)
FIELDS = {
    "experimentName": TEXT,
    "trialCommand": [*TEXT, "", None],
    "trialCodeDirectory": TEXT,
    "trialConcurrency": [*WHOLE, None],
    "maxTrialNumber": WHOLE,
    "maxExperimentDuration": DURATION,
    "maxTrialDuration": DURATION,
    "trialGpuNumber": ["one", -1, 0.5, True],
    "searchSpace": OBJECT,
    "tuner": OBJECT,
    "assessor": OBJECT,
    "tunerGpuIndices": [{}, 0.5],
    "trainingService": ["aml", 3, None],
}
UPDATED = {
    "TRIAL_CONCURRENCY": "trialConcurrency",
    "MAX_EXEC_DURATION": "maxExperimentDuration",
    "SEARCH_SPACE": "searchSpace",
    "MAX_TRIAL_NUM": "maxTrialNumber",
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_a_wrong_type_is_refused_by_its_name_and_nothing_begins(idle, name):
    made, ask = idle
    for wrong in FIELDS[name]:
        code, said = ask("experiment", ask.given | {name: wrong})
        assert code == 400 and (name in said or name == "trainingService"), wrong
    assert made.status == "INITIALIZED" and not made.profile


@pytest.mark.parametrize("update", UPDATED)
def test_a_change_to_a_wrong_type_is_refused_and_the_experiment_stays_as_it_is(begun, update):
    made, ask = begun
    before = json.dumps(made.config)
    for wrong in FIELDS[UPDATED[update]]:
        code, said = ask(f"experiment?update_type={update}", {"params": {UPDATED[update]: wrong}}, "PUT")
        assert code == 400 and UPDATED[update] in said, wrong
    assert json.dumps(made.config) == before and made.status == "RUNNING"


def test_every_route_answers_in_words_whatever_it_is_sent(begun):
    made, ask = begun
    for method, path in ask.routes:
        if (method, path) == ("DELETE", "experiment"):
            continue
        for body in ([], [3], "x", 3, {"params": []}, {"params": None}):
            answer = ask(f"{path}/%00/%ff?status=%00&type=3&update_type=x", body, method)
            assert not isinstance(answer, tuple) or 400 <= answer[0] < 500, (method, path, body, answer)
    for path, wrong in (
        ("experiment/import-data", [3, {}, [3], [{"parameter": 3, "value": 1}]]),
        ("trial-jobs", [3, []]),
    ):
        assert {ask(path, body)[0] for body in wrong} == {400}
    assert made.status == "RUNNING" and ask("trial-jobs") == []


def test_no_route_hears_a_foreign_page_or_a_body_that_is_no_json(idle):
    made, ask = idle
    for method, path in ask.routes:
        for told in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example:80"}):
            assert ask(path, ask.given, method, **told)[0] == 403, (method, path, told)
        assert ask(path, ask.given, method, **{"content-type": "text/plain"})[0] == 415
    for path in ("tuner", "trial/abcde", "index.html", "logs/x"):
        assert ask(f"../../../{path}", None, "GET", Origin="http://evil.example")[0] == 403
    assert made.status == "INITIALIZED"
    own = f"http://127.0.0.1:{made.arguments.port}"
    assert ask("check-status", Origin=own)["status"] == "INITIALIZED", "NNI's own pages may ask"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70000])
def test_messages_come_whole_whatever_their_length_and_however_they_are_cut(size):
    payload = os.urandom(size)
    frame = bytearray(encode_frame(1, payload))
    at = 2 if size < 126 else 4 if size < 65536 else 10
    mask = b"mask"
    masked = bytes([frame[0], frame[1] | 0x80]) + bytes(frame[2:at]) + mask
    masked += bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    for step in (1, 7, len(masked)) if size < 1000 else (4096, len(masked)):
        frames, found = Frames(), []
        for start in range(0, len(masked), step):
            found += frames.feed(masked[start : start + step])
        assert found == [(1, payload)]


def test_the_handshake_is_that_of_the_standard():
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3


def test_the_manager_is_put_in_its_place_and_taken_away_again(tmp_path):
    folder = tmp_path / "nni_node"
    folder.mkdir()
    (folder / "node").write_bytes(b"\x7fELF")
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{json.dumps([str(folder), '3.0'])}'\n")
    python.chmod(0o755)
    place = find(str(python))
    said = install(place, "/a b/it's $HOME")
    assert any("kept as" in line for line in said) and place.is_ours and (folder / "node.of-nni").exists()
    assert not any("kept as" in line for line in install(place, "/a b/home")), "a second time it keeps what it kept"
    assert uninstall(place) and (folder / "node").read_bytes() == b"\x7fELF" and not (folder / "node.of-nni").exists()
    assert "nothing to undo" in uninstall(place)[0]
    with pytest.raises(Invalid, match="no NNI in the environment"):
        find(sys.executable)
    python.write_text(f"#!/bin/sh\necho '{json.dumps([str(folder), '2.10'])}'\n")
    with pytest.raises(Invalid, match=r"is 2\.10"):
        find(str(python))
