"""Many runs at a glance: how many match, and their curves thinned to what can be drawn."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.core.tracking import Axis, Curve, RunQuery
from hanok.stores.ports import Metadata, Repositories

BINS_MAX = 2000


class OverviewVerbs:
    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def count(self, query: RunQuery) -> int:
        """How many runs match."""
        return self._metadata.read(lambda r: r.run_overview.count(query))

    def curves(
        self,
        run_ids: Sequence[str],
        keys: Sequence[str],
        axis: Axis = "step",
        *,
        bins: int = 400,
        low: int | None = None,
        high: int | None = None,
    ) -> dict[str, list[Curve]]:
        """The curves of these metrics, by metric, in the order of the runs; between `low` and `high` where given."""
        asked = min(BINS_MAX, max(1, bins))

        def work(r: Repositories) -> dict[str, list[Curve]]:
            found: dict[str, list[Curve]] = {}
            for key in keys:
                ends = r.run_overview.extent(run_ids, key, axis)
                if ends is None:
                    found[key] = []
                    continue
                first = ends[0] if low is None else low
                last = ends[1] if high is None else high
                by_run = r.run_overview.curves(run_ids, key, axis, low=first, high=last, bins=asked)
                found[key] = [by_run[i] for i in run_ids if i in by_run]
            return found

        return self._metadata.read(work)
