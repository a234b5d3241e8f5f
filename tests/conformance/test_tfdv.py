"""TFDV's statistics, schemas and anomalies (HANOK_TFDV_CASES), in Python and over HTTP."""

import math

import httpx
import pytest

from hanok.engine.verbs import call
from hanok.server.run import build
from tests.conformance.material import cases
from tests.unit.server.conftest import Sync

CASES = cases("HANOK_TFDV_CASES", "tfdv_cases.json")
MEMBERS = ("statistics", "schema", "environment", "previous", "serving", "previous_version")


def js_divergence_base2(p, q):
    def kl(a, b):
        return sum(x * math.log2(x / y) for x, y in zip(a, b) if x > 0 and y > 0)

    middle = [(x + y) / 2 for x, y in zip(p, q)]
    return (kl(p, middle) + kl(q, middle)) / 2


def judge(case, answer):
    assert {k: sorted(v) for k, v in answer["anomalies"].items()} == {k: sorted(v) for k, v in case["expect"].items()}
    assert sorted(answer["dataset"]) == sorted(case.get("expect_dataset", []))
    for path, sides in case.get("measure", {}).items():
        for side, measures in sides.items():
            for name, value in measures.items():
                wanted = eval(value, {"jsd2": js_divergence_base2}) if isinstance(value, str) else value
                assert answer["measurements"][path][side][name] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("case", CASES, ids=[c["id"] for c in CASES])
def test_statistics_have_the_anomalies_that_tfdv_documents(case):
    body = {k: case[k] for k in MEMBERS if k in case}
    if case.get("expect_error"):
        with pytest.raises(Exception):
            call(None, "validation.statistics", "test", body)
    else:
        judge(case, call(None, "validation.statistics", "test", body))


def test_the_same_over_http(empty_shop):
    client = httpx.Client(transport=Sync(build(empty_shop)), base_url="http://127.0.0.1")
    for case in CASES:
        body = {k: v for k, v in case.items() if not k.startswith("expect")}
        reply = client.post("/api/v1/validation/statistics", json=body)
        if case.get("expect_error"):
            assert reply.status_code >= 400, case["id"]
        else:
            judge(case, reply.json())
