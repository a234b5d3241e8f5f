"""The stages of a rollout: beside the champion first, then by growing shares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from hanok.core.declare import Rollout
from hanok.core.serving import Arm, Deployment
from hanok.core.training import RolloutState

WHOLE = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """The challenger's share of answers (0: shadow, 100: the former champion is the shadow) and how long it lasts."""

    share: int
    hold: timedelta


def stages(rollout: Rollout) -> tuple[Stage, ...]:
    """All stages before the challenger is alone, by growing share."""
    found = [Stage(0, rollout.shadow)] if rollout.shadow else []
    found += [Stage(share, rollout.hold) for share in rollout.canary if share < WHOLE]
    return (*found, Stage(WHOLE, rollout.bake)) if rollout.bake else tuple(found)


def stage_of(rollout: Rollout, share: int) -> Stage:
    """The stage with this share as it is declared now. A share that is declared no more lasts as long as any other
    stage; without a bake the challenger need not wait at all."""
    known = {stage.share: stage for stage in stages(rollout)}
    return known.get(share, Stage(share, timedelta() if share == WHOLE else rollout.hold))


def after(rollout: Rollout, share: int) -> Stage | None:
    """The next stage by the present declaration; None when the challenger is to be alone next."""
    return next((stage for stage in stages(rollout) if stage.share > share), None)


def number(rollout: Rollout, share: int) -> int:
    """The place of a share among the stages that are declared now."""
    return sum(stage.share < share for stage in stages(rollout))


def share_of(state: RolloutState, deployment: Deployment) -> int:
    """The challenger's share. What earlier versions wrote does not hold it: the deployment does."""
    if state.share is not None:
        return state.share
    mine = next((arm for arm in deployment.arms if arm.version == state.challenger), None)
    return 0 if mine is None or mine.mode == "shadow" else WHOLE if mine.mode == "primary" else mine.share


def block(rollout: Rollout) -> timedelta:
    """The length of time whose rows are taken to err together: that of a stage, a day at most."""
    return min(rollout.hold, timedelta(days=1))


def planned_blocks(rollout: Rollout) -> int:
    """How many blocks a rollout takes by its declaration, all stages together."""
    return -(-sum((stage.hold for stage in stages(rollout)), timedelta()) // block(rollout))


def arms(champion: int, challenger: int, share: int) -> tuple[Arm, ...]:
    if share == WHOLE:
        return Arm(challenger, "primary", WHOLE), Arm(champion, "shadow", 0)
    if share == 0:
        return Arm(champion, "primary", WHOLE), Arm(challenger, "shadow", 0)
    return Arm(champion, "primary", WHOLE - share), Arm(challenger, "canary", share)


def stage_name(share: int) -> str:
    return {0: "shadow", WHOLE: "primary, the former champion beside it"}.get(share, f"{share}%")
