"""What a home is asked, by doors that stay the same for its users: verbs, HTTP and tables. JSON comes back."""

import hashlib
import json
from datetime import datetime

from starlette.testclient import TestClient

from hanok.compute.duck import read
from hanok.core.records import to_body
from hanok.server.run import build

ENTITIES = {
    "late": [{"hire": f"h-{n:04d}"} for n in (3, 200, 401, 559)],
    "payment": [{"rider": 1004}, {"rider": 1017}],
    "damage": [{"slot": n} for n in (1, 70, 139)],
}
ONLINE = {
    "rider": [1000, 1003, 1029],
    "weather": ["2026-03-14T22:00:00+00:00", "2026-03-14T23:00+00:00", "2026-03-01T00:00:00+00:00"],
    "station": ["Dock 1", "Hafen/Süd", "역 광장", "nowhere"],
    "drive": [True, False],
}
LISTS = [
    ("run.list", {}),
    ("experiment.list", {}),
    ("table.list", {}),
    ("feature.list", {}),
    ("user.list", {}),
    ("token.list", {}),
    ("role.list", {}),
    ("project.list", {}),
    ("alert.list", {}),
    ("schema.show", {"table": "hires"}),
    *(("table.show", {"name": n}) for n in ("hires", "returns", "bills", "riders")),
    ("table.history", {"name": "hires", "columns": ["km", "bicycle", "electric"]}),
    ("table.profile", {"name": "hires"}),
    *(("model.show", {"name": n}) for n in ("late", "payment", "damage")),
    *(("model.history", {"name": n}) for n in ("late", "payment", "damage")),
    *(("estimate", {"model": n}) for n in ("late", "payment", "damage")),
    ("model.compare", {"name": "late", "versions": [1, 2]}),
    ("lineage", {"node": "late@1"}),
    ("lineage", {"node": "damage@1"}),
]
ROW = {
    "rider__age": 41, "rider__member": True, "rider__town": "Köln", "weather__temperature": 3.5, "weather__sky": "rain",
    "station__late_1d": 0.25, "station__late_3d": None, "station__returns_1d": 4, "station__returns_3d": 9,
    "station__longest_1d": 17.5, "station__longest_3d": 30.25, "drive__km_2d": 100.0, "drive__shortest_2d": 0.5,
    "drive__checked_2d": 12, "km": 9.75, "bicycle": "cargo", "electric": True, "people": 2, "age_days": 600,
}  # fmt: skip
OTHER = ROW | {"rider__town": None, "km": 0.1, "bicycle": "unicycle", "electric": False, "age_days": 5, "people": 1}


def ask_versions(client):
    """The answer of every version to two fixed rows, over /v2, and its golden rows' scores in bits."""
    found = {}
    with TestClient(build(client.app), base_url="http://127.0.0.1") as http:
        for model in ENTITIES:
            for version in client.call("model.show", name=model)["versions"]:
                path = f"/v2/models/{model}/versions/{version['version']}"
                inputs = http.get(path).json()["inputs"]
                body = {
                    "inputs": [
                        {
                            "name": c["name"],
                            "datatype": c["datatype"],
                            "shape": [2],
                            "data": [ROW[c["name"]], OTHER[c["name"]]],
                        }
                        for c in inputs
                    ]
                }
                reply = http.post(f"{path}/infer", content=json.dumps(body))
                assert reply.status_code == 200, reply.text
                found[f"{model}/{version['version']}"] = {o["name"]: o["data"] for o in reply.json()["outputs"]}
    return found


def ask_entities(client):
    """By entity: the features read online, and the version and score that came of them."""
    return {
        model: [
            {k: v for k, v in client.call("predict", model=model, match=match).items() if k != "prediction_id"}
            for match in matches
        ]
        for model, matches in ENTITIES.items()
    }


def ask_online(client):
    return {
        view: [client.call("feature.show", name=view, entity=[key])["online"] for key in keys]
        for view, keys in ONLINE.items()
    }


def ask_lists(client):
    return [[verb, arguments, client.call(verb, **arguments)] for verb, arguments in LISTS]


def ask_prediction(client, prediction):
    return client.call("prediction.show", prediction=prediction)


def logged(client, model):
    """Of every answer in the log's table: version, arm, score in bits, row that it is for."""
    rows = read(client.app.tables.scan(f"predictions--{model}")).to_pylist()
    return {r["prediction_id"]: [r["version"], r["arm"], _bits(r["score"]), r["row_id"]] for r in rows}


def labels(client, model):
    """The label of each prediction that has one."""
    rows = client.app.monitoring.outcomes(model).to_pylist()
    return {r["prediction_id"]: r["label"] for r in rows}


def performance(client, model):
    return [to_body(p) for p in client.app.monitoring.performance(model)]


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_text).encode()).hexdigest()


def _bits(score):
    return None if score is None else float(score).hex()


def _text(value):
    return value.isoformat() if isinstance(value, datetime) else str(value)
