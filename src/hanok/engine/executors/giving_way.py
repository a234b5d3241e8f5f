"""What a child of the server does so that replies go first."""

import os

NICE = 10


def give_way() -> None:
    """Less claim on the processor, and no reply is interrupted when this process wakes."""
    os.nice(NICE)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
