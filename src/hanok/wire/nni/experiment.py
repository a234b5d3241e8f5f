"""NNI's experiment file (YAML, of version 3, 2 or 1) as a study and the trials to run."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from hanok.core.errors import Invalid
from hanok.core.json import Json, JsonObject
from hanok.core.tuning import MAXIMIZE, MINIMIZE, Algorithm, Direction

KNOWN = {
    "experimentName",
    "experimentType",
    "searchSpace",
    "searchSpaceFile",
    "trialCommand",
    "trialCodeDirectory",
    "trialConcurrency",
    "trialGpuNumber",
    "maxExperimentDuration",
    "maxTrialNumber",
    "maxTrialDuration",
    "tuner",
    "assessor",
    "advisor",
    "trainingService",
    "nniManagerIp",
    "useAnnotation",
    "debug",
    "logLevel",
    "experimentWorkingDirectory",
    "tunerGpuIndices",
    "sharedStorage",
}
OLDER = {
    "authorName": None,
    "maxExecDuration": "maxExperimentDuration",
    "maxTrialNum": "maxTrialNumber",
    "searchSpacePath": "searchSpaceFile",
    "trainingServicePlatform": None,
    "multiPhase": None,
    "multiThread": None,
    "logDir": "experimentWorkingDirectory",
    "localConfig": None,
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
TUNERS = {
    "tpe": "tpe",
    "tpe_legacy": "tpe",
    "random": "random",
    "anneal": "tpe",
    "evolution": "evolution",
    "batch": "batch",
    "batchtuner": "batch",
    "gridsearch": "grid",
    "smac": "tpe",
    "gp": "tpe",
    "metis": "tpe",
    "dngo": "tpe",
    "pbt": "evolution",
}
ASSESSORS = {"medianstop": "median", "curvefitting": "median"}


@dataclass(frozen=True, slots=True)
class Experiment:
    """What an experiment file asks for. `notices` say where something else is done than the file's words."""

    name: str
    space: JsonObject
    command: str
    folder: Path
    concurrency: int = 1
    max_trials: int | None = None
    max_seconds: float | None = None
    trial_seconds: float | None = None
    sampler: Algorithm = field(default_factory=lambda: Algorithm("tpe"))
    pruner: Algorithm | None = None
    direction: Direction = MINIMIZE
    notices: tuple[str, ...] = field(default=())


def read_experiment(path: Path) -> Experiment:
    """Raises Invalid that names the field and what is wrong with it."""
    try:
        body = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Invalid(f"{path} cannot be read as a study file: {error}") from None
    if not isinstance(body, Mapping):
        raise Invalid(f"{path} is no study file: it holds {type(body).__name__}, not names with values")
    return _experiment({str(k): v for k, v in body.items()}, path)


def _experiment(given: dict[str, Json], path: Path) -> Experiment:
    body = _modern(given)
    for name in body:
        if name not in KNOWN:
            near = difflib.get_close_matches(name, sorted(KNOWN), 1)
            raise Invalid(f"{path.name}: there is no field {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")
    command = body.get("trialCommand")
    if not isinstance(command, str) or not command.strip():
        raise Invalid(f"{path.name}: trialCommand says how a trial is run, like 'python3 trial.py'; it is missing")
    sampler, direction, notices = _tuner(body, path)
    return Experiment(
        name=str(body.get("experimentName") or path.resolve().parent.name),
        space=_space(body, path),
        command=command,
        folder=(path.parent / str(body.get("trialCodeDirectory") or ".")).resolve(),
        concurrency=_whole(body, "trialConcurrency", path) or 1,
        max_trials=_whole(body, "maxTrialNumber", path),
        max_seconds=_seconds(body, "maxExperimentDuration", path),
        trial_seconds=_seconds(body, "maxTrialDuration", path),
        sampler=sampler,
        pruner=_assessor(body, path),
        direction=direction,
        notices=notices,
    )


def _modern(given: Mapping[str, Json]) -> dict[str, Json]:
    """The names of version 3, from those of the versions before."""
    body: dict[str, Json] = {}
    for name, value in given.items():
        if name == "trial" and isinstance(value, Mapping):
            body |= {"trialCommand": value.get("command"), "trialCodeDirectory": value.get("codeDir")}
        elif name not in OLDER:
            body[name] = value
        elif (newer := OLDER[name]) is not None:
            body[newer] = value
    return body


def _space(body: Mapping[str, Json], path: Path) -> JsonObject:
    space = body.get("searchSpace")
    if space is None and isinstance(file := body.get("searchSpaceFile"), str):
        try:
            space = json.loads((path.parent / file).read_text())
        except (OSError, ValueError) as error:
            raise Invalid(f"{path.name}: searchSpaceFile {file!r} cannot be read: {error}") from None
    if not isinstance(space, Mapping):
        raise Invalid(f"{path.name}: searchSpace (or searchSpaceFile) is missing")
    return space


def _tuner(body: Mapping[str, Json], path: Path) -> tuple[Algorithm, Direction, tuple[str, ...]]:
    tuner = body.get("tuner") or body.get("advisor")
    if tuner is None:
        return Algorithm("tpe"), MINIMIZE, ()
    if not isinstance(tuner, Mapping):
        raise Invalid(f"{path.name}: tuner has a name and classArgs")
    if tuner.get("className") or tuner.get("codeDirectory") or tuner.get("classFileName"):
        raise Invalid(f"{path.name}: a tuner of your own runs in NNI's process; name one of {', '.join(TUNERS)} here")
    name = str(tuner.get("name") or tuner.get("builtinTunerName") or "")
    arguments = tuner.get("classArgs")
    known = dict(arguments) if isinstance(arguments, Mapping) else {}
    direction = MAXIMIZE if known.pop("optimize_mode", "minimize") == "maximize" else MINIMIZE
    if name.lower() not in TUNERS:
        near = difflib.get_close_matches(name.lower(), list(TUNERS), 1)
        raise Invalid(f"{path.name}: tuner {name!r} is not known{f'; did you mean {near[0]!r}?' if near else ''}")
    taken = TUNERS[name.lower()]
    notices = () if taken in name.lower() else (f"tuner {name} is run as {taken}",)
    kept = {"seed": known["seed"]} if isinstance(known.get("seed"), int) else {}
    return Algorithm(taken, kept), direction, notices


def _assessor(body: Mapping[str, Json], path: Path) -> Algorithm | None:
    assessor = body.get("assessor")
    if assessor is None:
        return None
    name = str(assessor.get("name") or assessor.get("builtinAssessorName")) if isinstance(assessor, Mapping) else ""
    if name.lower() not in ASSESSORS:
        raise Invalid(f"{path.name}: assessor {name!r} is not known; there are {', '.join(ASSESSORS)}")
    arguments = assessor.get("classArgs") if isinstance(assessor, Mapping) else None
    start = arguments.get("start_step") if isinstance(arguments, Mapping) else None
    return Algorithm(ASSESSORS[name.lower()], {"n_warmup_steps": start} if isinstance(start, int) else {})


def _whole(body: Mapping[str, Json], name: str, path: Path) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Invalid(f"{path.name}: {name} is a whole number of at least 1, got {value!r}")
    return value


def seconds(value: Json) -> float:
    """Of a duration: a number, or a text such as '10m'. Raises Invalid."""
    match = _DURATION.fullmatch(str(value).strip().lower())
    if match is None or isinstance(value, bool):
        raise Invalid(f"{str(value)[:40]!r} is no duration; write one as '10m' or '24h'")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _seconds(body: Mapping[str, Json], name: str, path: Path) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    match = _DURATION.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise Invalid(f"{path.name}: {name} is a duration such as '10m' or '24h', got {value!r}")
    return float(match[1]) * _UNITS[match[2] or "s"]
