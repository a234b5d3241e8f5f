"""The fields of an NNI experiment's configuration, as its REST interface takes them: what each may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hanok.core.errors import Invalid
from hanok.core.json import Json, JsonObject
from hanok.wire.nni.experiment import seconds

UPDATES = {
    "TRIAL_CONCURRENCY": "trialConcurrency",
    "MAX_EXEC_DURATION": "maxExperimentDuration",
    "SEARCH_SPACE": "searchSpace",
    "MAX_TRIAL_NUM": "maxTrialNumber",
}
NEEDED = ("trialConcurrency", "trialCommand", "searchSpace")  # may not be null where they are set
_COUNT_MAX = 1 << 31


def check_configuration(config: JsonObject) -> None:
    """Of POST experiment. Raises Invalid that names the field."""
    service = config.get("trainingService")
    platform = service.get("platform") if isinstance(service, Mapping) else service
    if platform != "local":
        raise Invalid(f"Hanok runs trials on this machine (platform: local), not on {str(platform)[:80]}")
    for name in ("trialCommand", "trialConcurrency"):
        if config.get(name) in (None, ""):
            raise Invalid(f"the configuration has no {name}")
    for name, value in config.items():
        if value is not None:
            check_field(name, value)


def updated_field(update_type: str, config: JsonObject) -> tuple[str, Json]:
    """The field that PUT experiment changes, and its value. Raises Invalid."""
    name = UPDATES.get(update_type)
    if name is None or name not in config:
        raise Invalid(f"update_type {update_type[:40]!r} is not one of {', '.join(UPDATES)}, or its value is missing")
    value = config[name]
    if value is not None or name in NEEDED:
        check_field(name, value)
    return name, value


def check_field(name: str, value: Json) -> None:
    """Raises Invalid for a value that a field cannot have; fields that are not used here may hold anything."""
    for names, fits, what in _FIELDS:
        if name in names and not fits(value):
            raise Invalid(f"{name} is {what}, got {str(value)[:80]!r}")


def check_imported(data: Json) -> None:
    """Of POST import-data: results that were got elsewhere. Raises Invalid."""
    rows = data if isinstance(data, list) else [None]
    if not all(
        isinstance(row, Mapping) and isinstance(row.get("parameter"), Mapping) and "value" in row for row in rows
    ):
        raise Invalid("import-data takes a list of objects with parameter (an object) and value")


def check_parameters(params: Json) -> None:
    """Of POST trial-jobs: a trial that a person chose. Raises Invalid."""
    if not isinstance(params, Mapping):
        raise Invalid(f"the parameters of a trial are an object, got {type(params).__name__}")


def _whole(value: Json, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < _COUNT_MAX


def _duration(value: Json) -> bool:
    try:
        return isinstance(value, str | int | float) and seconds(value) > 0
    except Invalid:
        return False


def _devices(value: Json) -> bool:
    return isinstance(value, str | int | list)


_FIELDS: tuple[tuple[tuple[str, ...], Callable[[Json], bool], str], ...] = (
    (("trialConcurrency", "maxTrialNumber"), lambda v: _whole(v, 1), "a whole number of at least 1"),
    (("trialGpuNumber",), lambda v: _whole(v, 0), "a whole number"),
    (("maxExperimentDuration", "maxTrialDuration"), _duration, "a duration such as '10m' or '24h'"),
    (("experimentName", "trialCommand", "trialCodeDirectory"), lambda v: isinstance(v, str), "a text"),
    (("searchSpace", "tuner", "assessor", "advisor", "deprecated"), lambda v: isinstance(v, Mapping), "an object"),
    (("tunerGpuIndices",), _devices, "a number, a text or a list"),
)
