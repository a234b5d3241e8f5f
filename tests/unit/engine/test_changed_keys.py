"""Labels find what a version answered by the keys that it was declared with, whatever is declared now."""

from dataclasses import replace

import pyarrow as pa

from hanok.core.keys import KeyType
from hanok.core.labels import KeysOf
from tests.unit.parts.monitoring.test_service import DAY, SIGNATURE, SOURCE, START, house  # noqa: F401


def test_each_version_is_labelled_by_its_own_keys(house):  # noqa: F811
    """Version 1 answered by `who`; version 2 by `who` and `visit`. Labels of both go on to be joined."""
    first = house.answer(START, count=4)
    house.clock.move_to(START + DAY)
    ids = [f"v2-{i}" for i in range(4)]
    at = pa.array([START + DAY] * 4, pa.timestamp("us", "UTC"))
    log = {"prediction_id": ids, "row_id": ids, "at": at, "version": [2] * 4, "arm": ["primary"] * 4, "_arrived": at}
    log |= {"score": [0.5] * 4, "scores": pa.array([[]] * 4, pa.list_(pa.float64())), "error": [""] * 4}
    log |= {"key__who": ["a", "a", "b", "b"], "key__visit": ["1", "2", "1", "2"]}
    house.tables.append("predictions--m", pa.table(log), key="v2")
    now = replace(SOURCE, keys=("who", "visit"))
    kinds, earlier = [KeyType.TEXT, KeyType.INTEGER], KeysOf(frozenset({1}), ("who",), (KeyType.TEXT,))

    def tell(who, visit, late, key):
        known = pa.array([house.clock.now()] * len(who), pa.timestamp("us", "UTC"))
        rows = {"who": who, "visit": pa.array(visit, pa.int64()), "late": late, "known": known, "_arrived": known}
        house.tables.append("truth", pa.table(rows), key=key)
        return house.monitoring.labels.join(now, kinds, lambda _: SIGNATURE, SIGNATURE, [earlier])

    assert tell(["a", "b", first[0]], [2, 1, None], [1, 0, 1], "one") == 3
    found = house.monitoring.outcomes("m")
    labels = dict(zip(found.column("prediction_id").to_pylist(), found.column("label").to_pylist(), strict=True))
    assert labels == {"v2-1": 1.0, "v2-2": 0.0, first[0]: 1.0}
    assert tell([first[0], first[1]], [7, None], [0, 1], "two") == 2  # a correction, and one that comes late
    found = house.monitoring.outcomes("m")
    labels = dict(zip(found.column("prediction_id").to_pylist(), found.column("label").to_pylist(), strict=True))
    assert (labels[first[0]], labels[first[1]]) == (0.0, 1.0)
    assert not [a for a in house.alerts.list("m", state="open") if a.kind == "labels"]
