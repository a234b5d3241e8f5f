"""Trials as NNI's REST interface shows them, put together from the events that NNI keeps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hanok.core.errors import Conflict, NotFound

ENDED = ("SUCCEEDED", "FAILED", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED")


class TrialNotThere(NotFound):
    """The experiment has no such trial."""

    code = "trial_not_found"


class ReadOnly(Conflict):
    """A viewed experiment does not change."""

    code = "read_only"


def jobs_of(events: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By trial job id, in the order in which they began."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        trial = event["trialJobId"]
        if not trial:
            continue
        job = found.setdefault(trial, {"trialJobId": trial, "status": "UNKNOWN", "hyperParameters": []})
        apply_event(job, event)
    return found


def apply_event(job: dict[str, Any], event: Mapping[str, Any]) -> None:
    kind, at = event["event"], event["timestamp"]
    if kind in ("WAITING", "RUNNING", *ENDED) and event.get("logPath"):
        job["logPath"] = event["logPath"]
    if kind == "RUNNING" or (kind in ("WAITING", *ENDED) and "startTime" not in job):
        job["startTime"] = at
    if kind in ENDED:
        job["endTime"] = at
    if kind in ("WAITING", "RUNNING", *ENDED):
        job["status"] = kind
    elif kind == "USER_TO_CANCEL":
        job["status"] = "USER_CANCELED"
    if event.get("data") and kind in ("WAITING", "ADD_HYPERPARAMETER"):
        index = json.loads(event["data"]).get("parameter_index", 0)
        known = [json.loads(p).get("parameter_index", 0) for p in job["hyperParameters"]]
        if index not in known:
            job["hyperParameters"].append(event["data"])
    if event.get("sequenceId") is not None:
        job.setdefault("sequenceId", event["sequenceId"])
    if event.get("message"):
        job["message"] = event["message"]


def shown(job: Mapping[str, Any], finals: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A trial as `/trial-jobs` answers it."""
    body = dict(job)
    if job["status"] == "SUCCEEDED" and job["trialJobId"] in finals:
        body["finalMetricData"] = [finals[job["trialJobId"]]]
    if job["status"] == "FAILED" and job.get("logPath"):
        body["stderrPath"] = f"{job['logPath']}/stderr"
    return body


def exported(jobs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parameters and final results, as `nnictl experiment export` writes and `import` reads them."""
    return [
        {
            "parameter": json.loads(job["hyperParameters"][0])["parameters"],
            "value": json.loads(job["finalMetricData"][0]["data"]),
            "trialJobId": job["trialJobId"],
        }
        for job in jobs
        if job.get("finalMetricData") and job["hyperParameters"]
    ]


def latest(metrics: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All final results, and the newest intermediate one of each trial."""
    finals, newest = [], dict[str, Mapping[str, Any]]()
    for metric in metrics:
        if metric["type"] != "PERIODICAL":
            finals.append(metric)
        elif newest.get(metric["trialJobId"], metric)["sequence"] <= metric["sequence"]:
            newest[metric["trialJobId"]] = metric
    return [*finals, *newest.values()]
