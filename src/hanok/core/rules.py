"""The rules that end a rollout: `log_loss > champion`, `auc < 0.7`, `error_rate > 1%`, `p99 > 20ms`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hanok.core.errors import DeclarationError
from hanok.core.metric_names import ANY_TASK, METRICS, SERVICE, better
from hanok.core.wording import near

_RULE = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*(\S.*?)\s*")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(%|[A-Za-z]*)")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class Rule:
    """The rollout is undone when `metric operator bound` holds. `bound` is None for the champion's own value, and in
    milliseconds for p99."""

    metric: str
    operator: str
    bound: float | None
    text: str

    @property
    def downwards(self) -> bool:
        """Whether low values break the rule."""
        return self.operator.startswith("<")

    def broken_by(self, value: float) -> bool:
        """Whether a value breaks the bound. NaN breaks nothing; who asks has to look for it first."""
        return self.bound is not None and _OPERATORS[self.operator](value, self.bound)


def parse_rules(texts: Iterable[str], task: str | None = None) -> tuple[Rule, ...]:
    """The rules of a declaration; without a `task` the metrics of any task are known. Raises DeclarationError."""
    return tuple(_parse(text, (*(METRICS[task] if task else ANY_TASK), *SERVICE)) for text in texts)


def _parse(text: str, known: tuple[str, ...]) -> Rule:
    match = _RULE.fullmatch(text)
    if match is None:
        raise _refused(text, "write 'METRIC > champion', 'METRIC < champion' or 'METRIC > number'")
    metric, sign, bound = match.groups()
    if metric not in known:
        raise _refused(text, f"there is no {metric!r} here; known are {', '.join(known)}{near(metric, known)}")
    if not _NUMBER.fullmatch(bound):
        return _against_champion(text, metric, sign, bound)
    return Rule(metric, sign, _bound(text, metric, sign, bound), text)


def _against_champion(text: str, metric: str, sign: str, word: str) -> Rule:
    if word != CHAMPION:
        raise _refused(text, f"{word!r} is neither a number nor 'champion'{near(word, [CHAMPION])}")
    if metric in SERVICE:
        raise _refused(text, f"{metric} is compared with a number, like '{_LIKE[metric]}'")
    worse = "<" if better(metric) == ">" else ">"
    if sign[0] != worse:
        raise _refused(text, f"this would take back a version that is better; write '{metric} {worse} champion'")
    return Rule(metric, sign, None, text)


def _bound(text: str, metric: str, sign: str, written: str) -> float:
    match = _NUMBER.fullmatch(written)
    assert match is not None
    value, unit = float(match[1]), match[2]
    if metric in SERVICE and sign.startswith("<"):
        raise _refused(text, f"this would take back a version that does well; write '{_LIKE[metric]}'")
    if metric == "p99":
        if unit not in ("", "ms", "s") or value <= 0:
            raise _refused(text, "p99 is a time above 0 in ms or s, like 'p99 > 20ms'")
        return value * 1000 if unit == "s" else value
    if unit not in ("", "%") or (unit and metric != "error_rate"):
        raise _refused(text, f"{metric} has no unit {unit!r}")
    value = value / 100 if unit else value
    if metric == "error_rate" and not 0 <= value < 1:
        raise _refused(text, "error_rate is a share from 0 to 1, like 'error_rate > 0.01' or 'error_rate > 1%'")
    return value


_LIKE = {"error_rate": "error_rate > 0.01", "p99": "p99 > 20ms"}


def _refused(text: str, need: str) -> DeclarationError:
    return DeclarationError(f"Rollout rollback_if={text!r}: {need}")
