"""scorers/*: judges of traces that clients registered."""

from __future__ import annotations

from hanok.server.mlflow.endpoint import Call, Json, edit, read
from hanok.wire.mlflow import scorers as wire
from hanok.wire.mlflow.search import TRACES, parse_filter


def register(call: Call, asked: wire.Register) -> Json:
    made = call.tracking.scorers.register(
        asked.experiment_id, asked.name, asked.serialized_scorer, endpoint=asked.endpoint
    )
    return wire.registered(made)


def list_all(call: Call, asked: wire.OfExperiment) -> Json:
    return {"scorers": [wire.scorer(s) for s in call.tracking.scorers.latest(asked.experiment_id)]}


def versions(call: Call, asked: wire.Named) -> Json:
    return {"scorers": [wire.scorer(s) for s in call.tracking.scorers.versions(asked.experiment_id, asked.name)]}


def get(call: Call, asked: wire.Versioned) -> Json:
    return {"scorer": wire.scorer(call.tracking.scorers.get(asked.experiment_id, asked.name, asked.version))}


def delete(call: Call, asked: wire.Versioned) -> Json:
    call.tracking.scorers.delete(asked.experiment_id, asked.name, asked.version)
    return {}


def score_online(call: Call, asked: wire.ScoreOnline) -> Json:
    parse_filter(asked.filter_string or "", TRACES)  # kept as it was written, once it can be read
    kept = call.tracking.scorers.score_online(
        asked.experiment_id, asked.name, asked.sample_rate, asked.filter_string or None
    )
    return {"config": wire.online(kept)}


def online(call: Call, asked: wire.OnlineOf) -> Json:
    return {"configs": [wire.online(found) for found in call.tracking.scorers.online(asked.scorer_ids)]}


ENDPOINTS = (
    edit("/scorers/register", wire.Register, register),
    read("/scorers/list", wire.OfExperiment, list_all),
    read("/scorers/versions", wire.Named, versions),
    read("/scorers/get", wire.Versioned, get),
    edit("/scorers/delete", wire.Versioned, delete, "DELETE"),
    edit("/scorers/online-config", wire.ScoreOnline, score_online, "PUT"),
    read("/scorers/online-configs", wire.OnlineOf, online),
)
