"""What survives kill -9, a full disk, a second server: with real processes."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pyarrow as pa
import pytest

from hanok.core.errors import Conflict, Corrupt, HomeLocked, PortInUse
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.home import Home
from hanok.server.run import admin_secret, asks_for_login, bind
from hanok.stores.delta import DeltaTables
from hanok.stores.frames import FrameFile, read_frames
from hanok.stores.testing import values
from tests.faults.writers import Client, killed_round, up

WRITER = """
import sys
from pathlib import Path
from hanok.stores.delta import DeltaTables
from hanok.stores.testing import rows
tables = DeltaTables(Path(sys.argv[1]))
for i in range(100_000):
    tables.append("t", rows(i), key=str(i))
    print(i, flush=True)
"""


def test_every_acknowledged_row_survives_kill_9_and_none_is_there_twice(tmp_path):
    for round_ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / str(round_))], stdout=subprocess.PIPE, text=True
        )
        acknowledged = -1
        deadline = time.monotonic() + 1.0 + 0.3 * round_
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= 100 and time.monotonic() > deadline:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        tables = DeltaTables(tmp_path / str(round_))
        found = values(tables.scan("t"))
        assert found == list(range(len(found)))
        assert len(found) > acknowledged
        tables.close()


def test_a_torn_frame_is_cut_off_and_damage_before_the_end_is_said(tmp_path):
    path = tmp_path / "x.seg"
    file = FrameFile(path)
    for i in range(5):
        file.append(b"frame %d" % i)
    file.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    assert list(read_frames(path)) == [b"frame %d" % i for i in range(4)]
    again = FrameFile(path)
    assert (again.count, again.append(b"new")) == (4, 4)
    again.close()
    path.write_bytes(whole[:20] + b"X" + whole[21:])
    with pytest.raises(Corrupt):
        list(read_frames(path))


FULL = """
import sys
from pathlib import Path
from hanok.core.errors import StorageFull
from hanok.stores.delta import DeltaTables
from hanok.stores.testing import rows, values
tables = DeltaTables(Path(sys.argv[1]))
wrote = 0
try:
    for i in range(100_000):
        tables.append("t", rows(*[i] * 500), key=str(i))
        wrote += 1
except StorageFull as error:
    assert wrote and len(values(tables.scan("t"))) == wrote * 500
    print("full", wrote)
"""


def test_a_full_disk_is_said_and_what_was_acknowledged_can_be_read(tmp_path):
    """On a small file system of its own; skipped loudly where the machine allows none."""
    command = f'mount -t tmpfs -o size=3m none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}/t'
    done = subprocess.run(["unshare", "-rm", "sh", "-c", command, FULL], capture_output=True, text=True)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"SKIPPED LOUDLY: no private mounts here: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("full ")


def test_a_home_has_one_writer(tmp_path):
    first = Home(tmp_path)
    first.acquire()
    with pytest.raises(HomeLocked, match="another --home"):
        Home(tmp_path).acquire()
    first.release()
    Home(tmp_path).acquire()


def test_a_port_in_use_is_said():
    listener = bind("127.0.0.1", 0)
    with pytest.raises(PortInUse, match="--port"):
        bind("127.0.0.1", listener.getsockname()[1])
    listener.close()


def test_a_host_that_others_can_reach_needs_somebody_who_can_log_in(monkeypatch):
    from hanok.core.errors import ConfigError

    monkeypatch.delenv("HANOK_ADMIN_SECRET", raising=False)
    assert admin_secret() == ""
    assert not asks_for_login("127.0.0.1", secret="", has_owner=True)
    assert asks_for_login("127.0.0.1", secret="", has_owner=True, login=True)
    assert asks_for_login("0.0.0.0", secret="", has_owner=True)
    assert asks_for_login("127.0.0.1", secret="a-long-enough-secret", has_owner=False)
    for host, login, way in (("0.0.0.0", False, "use --host 127.0.0.1"), ("127.0.0.1", True, "leave --login out")):
        with pytest.raises(ConfigError, match=f"HANOK_ADMIN_SECRET.*{way}"):
            asks_for_login(host, secret="", has_owner=False, login=login)
    monkeypatch.setenv("HANOK_ADMIN_SECRET", "short")
    with pytest.raises(ConfigError, match="16"):
        admin_secret()


def _up(home, *extra, env=None):
    command = [sys.executable, "-m", "hanok", "up", "--home", str(home), "--port", "0", "--json", *extra]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return process, json.loads(line)["address"]


def _get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_server_answers_is_alone_on_its_home_and_is_found_by_the_command_line(tmp_path):
    process, address = _up(tmp_path)
    try:
        assert _get(address + "/health")[0] == 200
        second = subprocess.run(
            [sys.executable, "-m", "hanok", "up", "--home", str(tmp_path), "--port", "0"],
            capture_output=True,
            text=True,
        )
        assert second.returncode == 3 and address in second.stderr
        listed = subprocess.run(
            [sys.executable, "-m", "hanok", "model", "list", "--home", str(tmp_path), "--json"],
            capture_output=True,
            text=True,
        )
        assert json.loads(listed.stdout) == []
        assert _get(address + "/health", Host="evil.example")[0] == 200  # public, and tells nothing
        assert _get(address + "/metrics", Host="evil.example")[0] == 403
    finally:
        process.terminate()
        process.wait(timeout=20)
    assert process.returncode in (0, -signal.SIGTERM)


def test_in_team_mode_nothing_but_health_answers_without_the_secret(tmp_path):
    env = {**os.environ, "HANOK_ADMIN_SECRET": "a-long-enough-secret"}
    process, address = _up(tmp_path, "--host", "0.0.0.0", env=env)
    address = address.replace("0.0.0.0", "127.0.0.1")
    try:
        assert _get(address + "/health")[0] == 200
        assert _get(address + "/metrics")[0] == 401
        assert _get(address + "/metrics", Authorization="Bearer wrong")[0] == 401
        assert _get(address + "/metrics", Authorization="Bearer a-long-enough-secret")[0] == 200
    finally:
        process.kill()
        process.wait()


def test_a_prediction_that_was_answered_survives_kill_9(replayed_home, tmp_path):
    import shutil

    from tests.loop.run import open_shop

    shutil.copytree(replayed_home, tmp_path / "home")
    process, address = _up(tmp_path / "home")
    body = {
        "dataframe_records": [
            {
                "price__amount": 20.0,
                "product__returned_3d": 0.2,
                "product__returned_7d": 0.2,
                "product__orders_3d": 50,
                "product__orders_7d": 90,
                "product": "mug",
                "size": 11.5,
            }
        ]
    }
    request = urllib.request.Request(
        address + "/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    ids = []
    for _ in range(5):
        with urllib.request.urlopen(request, timeout=10) as reply:
            ids += json.loads(reply.read())["prediction_ids"]
    process.kill()
    process.wait()
    app = open_shop(tmp_path / "home")
    assert [app.serving.find(i).features["size"] for i in ids] == [11.5] * 5
    app.serving.compact(everything=True)
    assert [app.serving.find(i).features["product"] for i in ids] == ["mug"] * 5
    app.close()


def test_the_port_is_free_again_after_the_server_stopped(tmp_path):
    process, address = _up(tmp_path)
    process.terminate()
    process.wait(timeout=20)
    port = int(address.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_file_is_sent_to_the_server_that_owns_the_home(tmp_path):
    (tmp_path / "p.csv").write_text("product,amount\nmug,20\nvase,\n")
    process, _ = _up(tmp_path / "home")
    try:
        command = [
            sys.executable,
            "-m",
            "hanok",
            "ingest",
            "prices",
            str(tmp_path / "p.csv"),
            "--json",
            "--keys",
            "product",
        ]
        for repeated in (False, True):
            done = subprocess.run([*command, "--home", str(tmp_path / "home")], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")
            body = json.loads(done.stdout)
            assert (body["accepted"], body["repeated"]) == (2, repeated)
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_for_a_team_no_verb_takes_a_path_of_the_server(tmp_path):
    env = {**os.environ, "HANOK_ADMIN_SECRET": "a-long-enough-secret"}
    process, address = _up(tmp_path, "--host", "0.0.0.0", env=env)
    address = address.replace("0.0.0.0", "127.0.0.1")
    try:
        for verb in ("ingest", "backup"):
            request = urllib.request.Request(
                f"{address}/api/v1/{verb}",
                json.dumps({"table": "t", "path": "/etc/passwd"}).encode(),
                {"Authorization": "Bearer a-long-enough-secret", "Content-Type": "application/json"},
            )
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=10)
            assert caught.value.code in (404, 405)
    finally:
        process.kill()
        process.wait()


def test_what_eight_clients_logged_survives_kill_9_and_nothing_is_there_twice(tmp_path):
    rng = random.Random(8)
    logged = [killed_round(tmp_path, seconds=rng.uniform(0.2, 0.6), seed=i) for i in range(10)]
    assert sum(logged) > 1000


def test_on_postgresql_two_servers_are_killed_and_nothing_acknowledged_is_lost_or_twice(tmp_path, postgres):
    rng, url = random.Random(9), postgres.database()
    logged = [
        killed_round(tmp_path / "a", tmp_path / "b", seconds=rng.uniform(0.3, 0.6), seed=i, metadata_url=url)
        for i in range(3)
    ]
    assert sum(logged) > 300


def test_two_servers_share_what_postgresql_holds(tmp_path, postgres):
    """A run logged at one is read at the other; names are unique over both; what one deletes is gone at the other."""
    url = postgres.database()
    servers = [up(tmp_path / name, metadata_url=url) for name in ("a", "b")]
    try:
        one, two = (Client(address) for _, address in servers)
        experiment = one.call("/experiments/create", name="shared")["experiment_id"]
        run = two.call("/runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        one.call("/runs/log-metric", run_id=run, key="m", value=0.5, timestamp=1, step=1)
        two.call("/runs/log-metric", run_id=run, key="m", value=0.5, timestamp=1, step=1)
        assert [point["value"] for point in two.history(run)] == [0.5]
        with pytest.raises(AssertionError, match="RESOURCE_ALREADY_EXISTS"):
            two.call("/experiments/create", name="shared")
        one.call("/registered-models/create", name="m")
        versions = [c.call("/model-versions/create", name="m", source=f"s3://b/{i}") for i, c in enumerate((one, two))]
        assert [v["model_version"]["version"] for v in versions] == ["1", "2"]
        two.call("/registered-models/alias", name="m", alias="champion", version="2")
        one.call("/runs/delete", run_id=run)
        with pytest.raises(AssertionError, match="active"):
            two.call("/runs/log-metric", run_id=run, key="m", value=1, timestamp=1)
    finally:
        for process, _ in servers:
            process.kill()
            process.wait()


def test_a_second_server_on_an_sqlite_file_outside_the_home_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    process, _ = up(tmp_path / "a", metadata_url=url)
    try:
        second = subprocess.run(
            [sys.executable, "-m", "hanok", "up", "--home", str(tmp_path / "b"), "--port", "0"],
            capture_output=True,
            text=True,
            env=os.environ | {"HANOK_METADATA_URL": url},
        )
        assert second.returncode == 3
        assert "shared.db" in second.stderr and "PostgreSQL" in second.stderr
    finally:
        process.kill()
        process.wait()


def test_on_postgresql_the_tables_stay_with_the_home_that_came_first(tmp_path, postgres):
    url = postgres.database()
    first, second = (open_app(Config(home=tmp_path / name, metadata_url=url)) for name in ("a", "b"))
    rows = pa.table({"product": ["mug"], "amount": [20]})
    with pytest.raises(Conflict, match=str(tmp_path / "a")):
        second.ingesting.ingest("prices", rows, key="1")
    assert first.ingesting.ingest("prices", rows, key="1").accepted == 1
    second.bus.drain()
    cursors = first.metadata.read(lambda r: [r.outbox.cursor(name) for name in ("online-values", "labels")])
    assert cursors == [0, 0]  # the second server reacts to nothing, and passes nothing over
    first.bus.drain()
    assert min(first.metadata.read(lambda r: [r.outbox.cursor(n) for n in ("online-values", "labels")])) > 0
    for app in (first, second):
        app.close()
    again = open_app(Config(home=tmp_path / "a", metadata_url=url))
    assert again.keeps_data
    again.close()


FULL_METADATA = """
import sys
from pathlib import Path
from datetime import UTC, datetime
from hanok.core.errors import StorageFull
from hanok.core.tracking import Metric, Run
from hanok.stores.sql import SqlMetadata
root = Path(sys.argv[1])
ballast = root / "ballast"
ballast.write_bytes(bytes(400_000))
metadata = SqlMetadata.at(root / "hanok.db")
run = "a" * 32
metadata.write(lambda r: r.runs.add(Run(run, "0", "r", datetime.now(UTC), "mlflow-artifacts:/0/a/artifacts")))
wrote = 0
def append(start):
    points = [Metric("m", float(i), i, i) for i in range(start, start + 500)]
    metadata.write(lambda r: r.metrics.append(run, points))
try:
    for wrote in range(0, 10_000_000, 500):
        append(wrote)
except StorageFull as error:
    assert "free space" in error.message
kept = metadata.read(lambda r: len(r.metrics.history(run, "m")))
assert kept == wrote > 0, (kept, wrote)
ballast.unlink()
append(wrote)
assert metadata.read(lambda r: len(r.metrics.history(run, "m"))) == wrote + 500
print("full", wrote)
"""


def test_a_full_disk_refuses_metrics_reads_go_on_and_so_do_writes_when_there_is_space(tmp_path):
    """On a small file system of its own; skipped loudly where the machine allows none."""
    command = f'mount -t tmpfs -o size=6m none {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    done = subprocess.run(["unshare", "-rm", "sh", "-c", command, FULL_METADATA], capture_output=True, text=True)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"SKIPPED LOUDLY: no private mounts here: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("full ")
