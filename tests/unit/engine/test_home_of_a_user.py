"""A home may be a folder that somebody works in (`--home .`): nothing of theirs is removed, whatever its name."""

import os
from datetime import timedelta

from hanok.core.clock import SystemClock
from hanok.engine import doctor
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.engine.executors.process import Limits, Processes
from hanok.stores.blobs import INCOMING

MINE = [  # names that look like leftovers, and names of Hanok's own folders
    "tmp_experiments/results.csv",
    "tmpl.html",
    "tmp12345678/a",
    "data.partial",
    "hanok-backup-notes.txt",
    "model.restoring/weights",
    "work/fit-1/notes.txt",
    "uploads/photos/cat.jpg",
    "uploads/about.json",
    "artifacts/incoming/scan.pdf",
    "artifacts/leaving/plan.txt",
    "artifacts/ab/cd/file.txt",
    f"artifacts/ab/cd/{'e' * 64}",
]


def test_no_file_of_a_user_is_removed_by_repair_gc_upkeep_or_the_start_of_a_server(tmp_path):
    app = open_app(Config(home=tmp_path, project=None))
    for name in MINE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    ours = [tmp_path / "artifacts/incoming" / f"{INCOMING}x", tmp_path / "hanok-work/upload-1"]
    ours[0].write_text("half")
    ours[1].mkdir(parents=True)
    long_ago = SystemClock().now().timestamp() - 90 * 86_400
    for path in tmp_path.rglob("*"):
        os.utime(path, (long_ago, long_ago))
    try:
        now = app.clock.now()
        assert [f.detail for f in doctor.repair(app.home, app.metadata, app.blobs, now)]
        app.tracking.upkeep.remove(runs=[], experiments=[], older_than=timedelta(), grace=timedelta(), actor="me")
        app.tracking.uploads.expire()
        Processes(app.home.work, Limits(timedelta(1), 1 << 30), lambda: None)
    finally:
        app.close()
    assert [name for name in MINE if not (tmp_path / name).exists()] == []
    assert not any(path.exists() for path in ours)
