"""Scorers in versions, and which part of the traces each is meant for. They are kept for clients; none is run here."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.core.clock import Clock
from hanok.core.errors import GatewayItemNotFound, Invalid, ScorerNotFound
from hanok.core.ids import new_id
from hanok.core.scorers import OnlineScoring, ScorerVersion
from hanok.core.tracking import ACTIVE
from hanok.stores.ports import Metadata, Repositories

NAME_MAX, BODY_MAX, ASKED_MAX = 256, 1 << 20, 10_000


class ScorerVerbs:
    def __init__(self, metadata: Metadata, clock: Clock) -> None:
        self._metadata, self._clock = metadata, clock

    def register(self, experiment_id: str, name: str, body: str, *, endpoint: str = "") -> ScorerVersion:
        """The next version. `endpoint` names the gateway endpoint that it asks.
        Raises ExperimentNotFound, GatewayItemNotFound, Invalid."""
        if not 0 < len(name) <= NAME_MAX or not name.isprintable():
            raise Invalid(f"scorer name {name[:60]!r} needs 1 to {NAME_MAX} characters that can be printed")
        if len(body) > BODY_MAX:
            raise Invalid(f"a serialized scorer has {len(body)} characters; at most {BODY_MAX} are kept")
        now = self._clock.now()
        made = ScorerVersion(f"sc-{new_id(now)}", experiment_id, name, 1, body, now, endpoint)

        def work(r: Repositories) -> ScorerVersion:
            _check_active(r, experiment_id)
            if endpoint and r.gateway_endpoints.named(endpoint) is None:
                raise GatewayItemNotFound(f"the scorer asks gateway endpoint {endpoint[:80]!r}, which does not exist")
            return r.scorers.add(made)

        return self._metadata.write(work)

    def latest(self, experiment_id: str) -> list[ScorerVersion]:
        """The newest version of each. Raises ExperimentNotFound."""

        def work(r: Repositories) -> list[ScorerVersion]:
            r.experiments.get(experiment_id)
            return r.scorers.latest(experiment_id)

        return self._metadata.read(work)

    def versions(self, experiment_id: str, name: str) -> list[ScorerVersion]:
        """Oldest first. Raises ExperimentNotFound, ScorerNotFound."""

        def work(r: Repositories) -> list[ScorerVersion]:
            r.experiments.get(experiment_id)
            return r.scorers.versions(experiment_id, name)

        found = self._metadata.read(work)
        if not found:
            raise _missing(experiment_id, name)
        return found

    def get(self, experiment_id: str, name: str, version: int | None = None) -> ScorerVersion:
        """The newest one when no version is given. Raises ExperimentNotFound, ScorerNotFound."""
        found = self.versions(experiment_id, name)
        one = found[-1] if version is None else next((v for v in found if v.version == version), None)
        if one is None:
            raise ScorerNotFound(f"scorer {name[:80]!r} has no version {version}; the newest is {found[-1].version}")
        return one

    def delete(self, experiment_id: str, name: str, version: int | None = None) -> None:
        """One version, or all. Raises ExperimentNotFound, ScorerNotFound."""

        def work(r: Repositories) -> int:
            r.experiments.get(experiment_id)
            return r.scorers.delete(experiment_id, name, version)

        if not self._metadata.write(work):
            raise _missing(experiment_id, name, version)

    def score_online(
        self, experiment_id: str, name: str, sample_rate: float, wanted: str | None = None
    ) -> OnlineScoring:
        """Note the part of the traces; `wanted` is a filter that was read before.
        Raises ExperimentNotFound, ScorerNotFound, Invalid for a rate that is none."""
        if not 0 <= sample_rate <= 1:  # NaN too
            raise Invalid(f"sample_rate is {sample_rate}; it must be a number from 0 to 1")
        config_id = f"oc-{new_id(self._clock.now())}"

        def work(r: Repositories) -> OnlineScoring:
            _check_active(r, experiment_id)
            found = r.scorers.versions(experiment_id, name)
            if not found:
                raise _missing(experiment_id, name)
            if sample_rate > 0 and not found[-1].endpoint:
                raise Invalid(f"scorer {name[:80]!r} asks no gateway endpoint; online scoring is for those that do")
            return r.scorers.put_online(
                OnlineScoring(config_id, found[-1].scorer_id, experiment_id, sample_rate, wanted)
            )

        return self._metadata.write(work)

    def online(self, scorer_ids: Sequence[str]) -> list[OnlineScoring]:
        """Of those that have one."""
        if len(scorer_ids) > ASKED_MAX:
            raise Invalid(f"{len(scorer_ids)} scorers in one request; at most {ASKED_MAX} are answered")
        return self._metadata.read(lambda r: r.scorers.online(scorer_ids))


def _check_active(r: Repositories, experiment_id: str) -> None:
    if r.experiments.get(experiment_id).lifecycle != ACTIVE:
        raise Invalid(f"The experiment {experiment_id} must be in the 'active' state. Current state is deleted.")


def _missing(experiment_id: str, name: str, version: int | None = None) -> ScorerNotFound:
    which = "" if version is None else f" in version {version}"
    return ScorerNotFound(f"experiment {experiment_id} has no scorer {name[:80]!r}{which}")
