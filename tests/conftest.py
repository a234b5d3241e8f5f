"""Shared homes: the shop, replayed once for all tests that only read it."""

import os
import shutil
from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import settings

from tests.loop.run import open_shop, replay
from tests.postgres import NoPostgres
from tests.postgres import postgres as postgres_server

# Machines are shared: no example is judged by its time. `make test` draws the same examples each time, for it decides
# what lands; HANOK_FUZZ or HANOK_EXAMPLES in the environment draws new ones.
settings.register_profile("hanok", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("search" if {"HANOK_FUZZ", "HANOK_EXAMPLES"} & set(os.environ) else "hanok")


STARTS: dict[int, dict] = {}


@pytest.fixture(autouse=True)
def same_numbers(request):
    """A module's random numbers begin anew with each test: none depends on which tests came before it."""
    for drawn in [v for v in vars(request.module).values() if isinstance(v, np.random.Generator)]:
        drawn.bit_generator.state = STARTS.setdefault(id(drawn), drawn.bit_generator.state)


@pytest.fixture(scope="session")
def replayed_home(tmp_path_factory):
    """The home of a shop replayed for 16 days. Copy it before writing to it."""
    home = tmp_path_factory.mktemp("shop") / "home"
    app = open_shop(home)
    replay(app, 16)
    app.close()
    return home


@pytest.fixture
def shop(replayed_home, tmp_path):
    """An open copy of the replayed shop."""
    home = tmp_path / "home"
    shutil.copytree(replayed_home, home)
    app = open_shop(home)
    app.clock.move_to(app.home.clock().now())
    yield app
    app.close()


@pytest.fixture
def empty_shop(tmp_path):
    """A shop with its declarations and no data."""
    app = open_shop(tmp_path / "home")
    yield app
    app.close()


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL that gives out fresh databases. Skips, and says why, where there is none."""
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server())
        except NoPostgres as error:
            pytest.skip(f"SKIPPED LOUDLY: no PostgreSQL for tests: {error}")
        yield server
