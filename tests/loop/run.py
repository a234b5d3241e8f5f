"""Replay the shop and print its summary: python -m tests.loop.run HOME DAYS"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from hanok.core.clock import ReplayClock
from hanok.core.durations import duration
from hanok.engine.app import App, open_app
from hanok.engine.config import Config
from hanok.engine.project import load_project
from hanok.engine.replay import Replay
from hanok.engine.summary import summary
from tests.loop import feeds

PROJECT = Path(__file__).parent / "project.py"


def open_shop(home: Path, metadata_url: str = "") -> App:
    start = datetime.fromisoformat(feeds.START).replace(tzinfo=UTC)
    config = Config(home=home, project=PROJECT, metadata_url=metadata_url)
    return open_app(config, clock=ReplayClock(start), project=load_project(PROJECT))


def replay(app: App, days: int) -> None:
    start = datetime.fromisoformat(feeds.START).replace(tzinfo=UTC)
    Replay(app, feeds.feeds(), start=start, first_training=duration(feeds.FIRST_TRAINING)).run(days)


if __name__ == "__main__":
    app = open_shop(Path(sys.argv[1]))
    replay(app, int(sys.argv[2]))
    print(json.dumps(summary(app)))  # noqa: T201
    app.close()
