"""What an NNI trial says and hears. Over HTTP it PUTs commands and polls for its parameters (NNI 3.0's
`trial_command_channel/v3`); older trials write files (`.nni/metrics`: `ME`, six digits of length, JSON) or lines of
output (`NNISDK_MEb'...'`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from hanok.core.errors import Invalid
from hanok.core.json import Json, JsonObject

_OUTPUT = re.compile(rb"NNISDK_MEb'(.*?)'$", re.MULTILINE)
_LENGTH = 6
_SEQUENCES = 1 << 31


@dataclass(frozen=True, slots=True)
class ParameterRequest:
    """The trial asks for its parameters."""


@dataclass(frozen=True, slots=True)
class MetricReport:
    """An intermediate result (`final` False) or the final one. `sequence` counts the intermediate ones from 0."""

    final: bool
    sequence: int
    value: Json


Command = ParameterRequest | MetricReport


def decode_command(body: bytes) -> Command:
    """Raises Invalid."""
    command = _json(body)
    if isinstance(command, dict) and command.get("type") == "request_parameter":
        return ParameterRequest()
    if isinstance(command, dict) and command.get("type") == "metric" and isinstance(command.get("metric"), str):
        found = _metric(_json(command["metric"]))
        if found is not None:
            return found
    raise Invalid("an NNI trial sends request_parameter, or metric with a JSON text; see NNI's command channel")


def encode_parameter(parameter_id: int, params: JsonObject) -> bytes:
    """The answer to a request, for the trial's next poll."""
    record = {"parameter_id": parameter_id, "parameters": params, "parameter_source": "algorithm"}
    return json.dumps({"type": "parameter", "parameter": json.dumps(record)}).encode()


def encode_parameter_file(parameter_id: int, params: JsonObject) -> bytes:
    """`parameter.cfg` of the older channel."""
    record = {"parameter_id": parameter_id, "parameters": params, "parameter_source": "algorithm", "parameter_index": 0}
    return json.dumps(record).encode()


def decode_metric_file(content: bytes) -> tuple[list[MetricReport], int]:
    """The reports of `.nni/metrics`, and how many bytes were whole lines. What is no report is left aside."""
    found: list[MetricReport] = []
    place = 0
    while content[place : place + 2] == b"ME":
        digits = content[place + 2 : place + 2 + _LENGTH]
        if len(digits) < _LENGTH or not digits.isdigit():
            break
        end = place + 2 + _LENGTH + int(digits)
        if end > len(content):
            break
        report = _metric(_loose(content[place + 2 + _LENGTH : end]))
        found += [report] if report is not None else []
        place = end
    return found, place


def decode_output(content: bytes) -> list[MetricReport]:
    """The reports among lines of output."""
    reports = (_metric(_loose(line.encode().decode("unicode_escape").encode())) for line in _lines(content))
    return [r for r in reports if r is not None]


def _lines(content: bytes) -> list[str]:
    return [m.decode(errors="replace") for m in _OUTPUT.findall(content)]


def _metric(body: Json) -> MetricReport | None:
    if not isinstance(body, dict) or body.get("type") not in ("PERIODICAL", "FINAL"):
        return None
    written, sequence = body.get("value"), body.get("sequence", 0)
    if isinstance(sequence, bool) or not isinstance(sequence, int) or not 0 <= sequence < _SEQUENCES:
        return None
    value = _loose(written) if isinstance(written, str) else written
    return MetricReport(body["type"] == "FINAL", sequence, value)


def _json(body: bytes | str) -> Json:
    try:
        read: Json = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    return read


def _loose(body: bytes | str) -> Json:
    """JSON, or the text itself where it is none: a trial may report anything."""
    try:
        read: Json = json.loads(body)
    except (ValueError, RecursionError):
        return body if isinstance(body, str) else body.decode(errors="replace")
    return read
