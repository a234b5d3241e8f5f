"""`feature.show` takes an entity as its key values in order, or by the names of the keys."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.declare import Project
from hanok.core.errors import Invalid
from hanok.engine.app import open_app
from hanok.engine.config import Config
from hanok.sdk.client import Client
from hanok.sdk.transports import InProcess

START = datetime(2013, 1, 1, tzinfo=UTC)


@pytest.fixture
def client(tmp_path):
    view = hk.FeatureView("f", keys=["a", "b"], features=["v"], source=hk.Source("facts", event_time="at"))
    app = open_app(
        Config(home=tmp_path / "home"), clock=ReplayClock(START), project=Project((view.source,), (view,), ())
    )
    made = Client(InProcess(app))
    made.ingest("facts", pa.table({"a": [1], "b": ["x"], "at": pa.array([START], pa.timestamp("us", "UTC")), "v": [7]}))
    yield made
    app.close()


@pytest.mark.parametrize("entity", [[1, "x"], {"a": 1, "b": "x"}, {"b": "x", "a": "1"}, ["b=x", "a=1"]])
def test_an_entity_is_its_key_values_in_order_or_by_name(client, entity):
    assert client.call("feature.show", name="f", entity=entity)["online"]["values"] == {"v": 7}


@pytest.mark.parametrize("entity", [{"a": 1}, {"a": 1, "b": "x", "c": 2}, [1], ["a=1,x"], ["a=1", "a=1"]])
def test_keys_that_are_missing_or_unknown_are_named(client, entity):
    with pytest.raises(Invalid, match="'f' is keyed by a, b"):
        client.call("feature.show", name="f", entity=entity)
