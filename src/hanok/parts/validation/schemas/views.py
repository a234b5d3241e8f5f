"""Statistics messages as the checks read them: weighted where weights exist, by path, with nested levels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hanok.wire.tfdv import Message

Path = tuple[str, ...]
PLAIN_STEP = re.compile(r"\([^()]*\)|[^().']+")
FEATURE_TYPES = {"INT": "INT", "FLOAT": "FLOAT", "STRING": "BYTES", "BYTES": "BYTES", "STRUCT": "STRUCT"}
WHOLE = "All Examples"
STATISTICS = ("num_stats", "string_stats", "bytes_stats", "struct_stats")


def path_text(path: Path) -> str:
    """The path as TFDV writes it: steps joined by dots, a step with a dot or a quote in single quotes."""
    return ".".join(s if PLAIN_STEP.fullmatch(s) else "'" + s.replace("'", "''") + "'" for s in path)


@dataclass(frozen=True)
class FeatureView:
    """One feature of a data set."""

    dataset: DatasetView
    stats: Message
    path: Path

    @property
    def type(self) -> str:
        """INT, FLOAT, STRING, BYTES or STRUCT: what the data is."""
        return str(self.stats["type"])

    @property
    def feature_type(self) -> str:
        """The schema's word for it, where text and bytes are both BYTES."""
        return FEATURE_TYPES[self.type]

    @cached_property
    def common(self) -> Message:
        for name in STATISTICS:
            if self.stats.has(name):
                return self.stats[name]["common_stats"]
        return Message("CommonStatistics")

    @property
    def _counted(self) -> Message:
        return self.common["weighted_common_stats"] if self.dataset.weighted else self.common

    @property
    def present(self) -> float:
        return float(self._counted["num_non_missing"])

    @property
    def missing(self) -> float:
        return float(self._counted["num_missing"])

    @property
    def missing_by_level(self) -> list[float]:
        name = "weighted_presence_and_valency_stats" if self.dataset.weighted else "presence_and_valency_stats"
        return [float(level["num_missing"]) for level in self.common[name]] or [self.missing]

    @property
    def total_values(self) -> float:
        total = float(self._counted["tot_num_values"])
        return total or self.present * float(self.common["avg_num_values"]) or sum(self.value_counts.values())

    @property
    def values_by_level(self) -> list[tuple[int, int]]:
        """(fewest, most) values for each nested level."""
        levels = self.common["presence_and_valency_stats"] or [self.common]
        return [(level["min_num_values"], level["max_num_values"]) for level in levels]

    @cached_property
    def value_counts(self) -> dict[str, float]:
        """Frequent values of a text or categorical feature with their counts."""
        strings = self.stats["string_stats"]
        if self.dataset.weighted:
            strings = strings["weighted_string_stats"]
        return {bucket["label"]: float(bucket["sample_count"]) for bucket in strings["rank_histogram"]["buckets"]}

    @property
    def unique(self) -> int | None:
        return self.stats["string_stats"]["unique"] if self.stats.has("string_stats") else None

    @property
    def low(self) -> float:
        return float(self.stats["num_stats"]["min"])

    @property
    def high(self) -> float:
        return float(self.stats["num_stats"]["max"])

    @property
    def histograms(self) -> Sequence[Message]:
        numbers = self.stats["num_stats"]
        return (numbers["weighted_numeric_stats"] if self.dataset.weighted else numbers)["histograms"]

    @property
    def not_a_number(self) -> int:
        return max((int(h["num_nan"]) for h in self.stats["num_stats"]["histograms"]), default=0)

    def custom(self, name: str) -> Message | None:
        return next((c for c in self.stats["custom_stats"] if c["name"] == name), None)


class DatasetView:
    """All features of one data set. `weighted`: read weighted statistics; None means where all features have them."""

    def __init__(self, stats: Message, *, weighted: bool | None = None) -> None:
        self.stats = stats
        self.weighted = False
        self.features = {path: FeatureView(self, f, path) for path, f in _by_path(stats)}
        self.weighted = self._all_weighted() if weighted is None else weighted

    def _all_weighted(self) -> bool:
        return bool(self.stats["weighted_num_examples"]) and all(
            f.common.has("weighted_common_stats")
            and len(f.common["presence_and_valency_stats"]) == len(f.common["weighted_presence_and_valency_stats"])
            for f in self.features.values()
        )

    @property
    def examples(self) -> float:
        return float(self.stats["weighted_num_examples" if self.weighted else "num_examples"])

    def roots(self) -> list[FeatureView]:
        return [f for p, f in self.features.items() if not any(p[:i] in self.features for i in range(1, len(p)))]

    def children(self, path: Path) -> list[FeatureView]:
        """The nearest features below a path."""
        below = [p for p in self.features if len(p) > len(path) and p[: len(path)] == path]
        nearest = [p for p in below if not any(p[:i] in self.features for i in range(len(path) + 1, len(p)))]
        return [self.features[p] for p in nearest]


def whole(statistics: Message) -> Message | None:
    """The data set that is not a slice: the one named so, else the only or the first one."""
    datasets = statistics["datasets"]
    return next((d for d in datasets if d["name"] == WHOLE), datasets[0] if datasets else None)


def _by_path(stats: Message) -> list[tuple[Path, Message]]:
    """The features that say anything, each with its path. Where features have names instead of paths, what begins with
    the name of a struct and a dot lies in that struct."""
    told = [f for f in stats["features"] if any(f.has(s) for s in STATISTICS) or f["custom_stats"]]
    structs = {f["name"] for f in told if f.has("name") and f["type"] == "STRUCT"}
    return [(_nested(f["name"], structs) if f.has("name") else tuple(f["path"]["step"]), f) for f in told]


def _nested(name: str, structs: set[str]) -> Path:
    above = [s for s in structs if name.startswith(f"{s}.")]
    if not above:
        return (name,)
    nearest = max(above, key=len)
    return (*_nested(nearest, structs), name[len(nearest) + 1 :])
