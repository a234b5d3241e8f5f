"""`hk.transform`: one function in training, in batches and online, kept with the version that was trained with it."""

import importlib
import json
import math
import sys
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import hanok as hk
from hanok.core.clock import ReplayClock
from hanok.core.declare import as_dict, digest, from_dict
from hanok.core.errors import DeclarationError, TransformFailed
from hanok.core.tables import ARRIVED
from hanok.parts.features.service import Features
from hanok.stores.memory import MemoryOnlineValues, MemoryTables
from hanok.stores.sql import SqlMetadata

START = datetime(2013, 1, 1, tzinfo=UTC)
MICROS = pa.timestamp("us", "UTC")
ZERO = 32
SOURCE = hk.Source("weather", event_time="e")
WEATHER = hk.FeatureView("weather", keys="origin", features=["temp", "sky"], source=SOURCE)
BUSY = hk.FeatureView("busy", keys="origin", windows=["1h"], aggregate={"n": hk.count()}, source=SOURCE)


@hk.transform(inputs=["weather__temp"])
def celsius(temp):
    return pc.divide(pc.multiply(pc.subtract(temp, float(ZERO)), 5.0), 9.0)  # whatever is said here changes nothing


@hk.transform(
    inputs=["weather__sky", "distance", "busy__n_1h"], returns={"wet": "boolean", "log": "number", "words": "text"}
)
def trip(sky, distance, busy):
    return {
        "wet": pc.equal(sky, "rain"),
        "log": [None if d is None else math.log1p(d) * b for d, b in zip(distance.to_pylist(), busy.to_pylist())],
        "words": pc.utf8_upper(sky),
    }


def model(*features):
    return hk.Model(
        "m", task="regression", spine=hk.Spine("flights", predict_at="e", keys="id"),
        label=hk.Label("labels", column="y", known_at="e"), features=[WEATHER, BUSY, *features],
    )  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    metadata = SqlMetadata.at(tmp_path_factory.mktemp("transforms") / "m.db")
    tables = MemoryTables()
    features = Features(metadata=metadata, tables=tables, online=MemoryOnlineValues(), clock=ReplayClock(START))
    origin = ["JFK", "LAX", "SFO", None]

    def add(name, **columns):
        at = pa.array([START - timedelta(minutes=1)] * 4, MICROS)
        tables.append(name, pa.table({**columns, "e": at, ARRIVED: at}), key=name)

    add("weather", origin=origin, temp=pa.array([50.1, 0.1, None, 1.0], pa.float32()), sky=["rain", None, "sun", "sun"])
    add("flights", id=[1, 2, 3, 4], origin=origin, distance=pa.array([100, None, 7, 8], pa.int32()))
    yield features
    metadata.close()


def test_history_and_online_values_have_the_same_bits_and_a_restored_version_too(house):
    restored = from_dict(json.loads(json.dumps(as_dict(model(celsius, trip)))))
    assert restored == model(celsius, trip) and digest(restored) == digest(model(celsius, trip))
    for declared in (model(celsius, trip), restored):
        house.keep_online([declared])
        spine = house.spine_rows(declared)
        rows = house.historical(declared, spine).select(declared.feature_columns).to_pylist()
        assert rows[0]["celsius"] == (pa.scalar(50.1, pa.float32()).as_py() - 32.0) * 5.0 / 9.0
        assert [r["trip__wet"] for r in rows] == [True, None, False, None]
        assert rows[0]["trip__words"] == "RAIN" and rows[1]["trip__log"] is None
        for row, found in zip(spine.to_pylist(), rows, strict=True):
            online = house.online_features(declared, row)
            assert {n: online[n] for n in found} == found


def test_the_code_counts_and_comments_do_not():
    source = as_dict(celsius)["source"]
    assert "whatever" not in source and as_dict(celsius)["constants"] == [["ZERO", "32"]]
    assert as_dict(celsius)["modules"] == [["pc", "pyarrow.compute"]]


@hk.transform(inputs="distance")
def centred(distance):
    return pc.subtract(distance, pc.mean(distance))


@hk.transform(inputs="distance")
def short(distance):
    return distance.slice(1)


@hk.transform(inputs="distance", returns="integer")
def worded(distance):
    return pa.array(["x"] * len(distance))


@hk.transform(inputs="distance")
def broken(distance):
    raise ValueError("no such thing")


@hk.transform(inputs="distance", returns={"a": "number"})
def misnamed(distance):
    return {"b": distance}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (centred, "column 'centred' of row 0 .* alone"),
        (short, "'short' has 3 values for 4 rows"),
        (worded, "'worded' is no integer.*first rows: distance=100"),
        (broken, "'broken' failed: ValueError: no such thing.*distance=100"),
        (misnamed, "returned b; it declares misnamed__a"),
    ],
)
def test_what_goes_wrong_names_transform_column_and_rows(house, wrong, said):
    declared = model(wrong)
    with pytest.raises(TransformFailed, match=said):
        house.historical(declared, house.spine_rows(declared))


HELPER = [1, 2]


def uses_list(x):
    return HELPER


def test_declarations_that_cannot_work_are_refused():
    with pytest.raises(DeclarationError, match="uses 'HELPER' of its file, which is a list"):
        hk.transform(inputs="x")(uses_list)
    with pytest.raises(DeclarationError, match="has 2 inputs, and its function takes 1"):
        hk.transform(inputs=["x", "y"])(uses_list)
    with pytest.raises(DeclarationError, match="written with def"):
        hk.transform(inputs="x")(lambda x: x)
    with pytest.raises(DeclarationError, match="number"):
        hk.transform(inputs="x", returns="numbr")(uses_list)
    with pytest.raises(DeclarationError, match="its own label 'y'"):
        model(hk.transform(inputs="y")(same))


def same(y):
    return y


@hk.transform(inputs="dep", returns="integer")
def hour(dep):
    return pc.hour(dep)


def test_an_attribute_and_a_name_of_its_own_are_not_what_the_file_calls_so():
    def first_hour(dep):
        return pc.hour(dep)

    def own_hour(dep):
        hour = [pc.add(dep, ZERO) for ZERO in (1, 2)]
        return hour[0]

    for function in (first_hour, own_hour):
        declared = hk.transform(inputs="dep")(function)
        assert (declared.modules, declared.constants) == ((("pc", "pyarrow.compute"),), ())
    with pytest.raises(DeclarationError, match="uses 'hour' of its file, which is a Transform"):
        hk.transform(inputs="dep")(uses_hour)


def uses_hour(dep):
    def inner():
        return hour

    return inner()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import helper_m\n\ndef f(x):\n    return helper_m.rated(x)\n", "module 'helper_m' of its own folder"),
        ("import parts_m.rates as r\n\ndef f(x):\n    return r.rated(x)\n", "module 'parts_m.rates' of its own"),
        ("def f(x):\n    import helper_m\n    return helper_m.rated(x)\n", "module 'helper_m' of its own folder"),
        ("def f(x):\n    def g():\n        from helper_m import rated\n    return x\n", "module 'helper_m' of its"),
        ("def f(x):\n    from . import helper_m\n    return x\n", "imports .: its code is not kept"),
        ("import json, numpy as np\nimport pyarrow.compute as pc\nfrom helper_m import RATE\n\n"
         "def f(x):\n    import math\n    return pc.multiply(x, np.float64(RATE) + math.e + len(json.dumps(1)))\n", ""),
    ],
)  # fmt: skip
def test_modules_of_the_project_are_refused_and_installed_ones_and_constants_are_not(tmp_path, monkeypatch, text, said):
    (tmp_path / "helper_m.py").write_text("RATE = 2.0\n\ndef rated(x):\n    return x\n")
    (tmp_path / "parts_m").mkdir()
    (tmp_path / "parts_m" / "rates.py").write_text("def rated(x):\n    return x\n")
    (tmp_path / "of_a_user.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("helper_m", "parts_m", "parts_m.rates", "of_a_user"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    function = importlib.import_module("of_a_user").f
    for name in ("helper_m", "parts_m", "parts_m.rates", "of_a_user"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    if said:
        with pytest.raises(DeclarationError, match=said):
            hk.transform(inputs="x")(function)
    else:
        assert dict(hk.transform(inputs="x")(function).constants) == {"RATE": "2.0"}
