"""What a child of the server does so that replies go first."""

import os

NICE, LAST_NICE = 10, 19


def give_way() -> None:
    """Less claim on the processor, and no reply is interrupted when this process wakes."""
    _yield_to_others(NICE, "SCHED_BATCH")


def go_last() -> None:
    """Only the processor time that nobody else wants: whoever wakes goes first, at once."""
    _yield_to_others(LAST_NICE, "SCHED_IDLE")


def _yield_to_others(nice: int, policy: str) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    if hasattr(os, policy):
        os.sched_setscheduler(0, getattr(os, policy), os.sched_param(0))
