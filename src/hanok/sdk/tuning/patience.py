"""Workers outlive a restart of the server: a call that finds nobody is made again until somebody answers."""

from __future__ import annotations

import time
from typing import Any

from hanok.core.errors import HanokError
from hanok.sdk.client import Client

OUTAGE_S = 600.0
WAIT_S, WAIT_MAX_S = 0.1, 2.0
UNREACHABLE = (502, 503, 504)


def patient_call(client: Client, verb: str, /, **arguments: Any) -> Any:
    """As `client.call`, and again for up to OUTAGE_S while the server cannot be reached.

    For verbs that may be heard twice: a `tell` and a `report` of a step have one effect, and a trial that was handed
    out in an answer that got lost falls back to the study when its lease is over.
    """
    wait_s, until = WAIT_S, time.monotonic() + OUTAGE_S
    while True:
        try:
            return client.call(verb, **arguments)
        except HanokError as error:
            if error.status not in UNREACHABLE or time.monotonic() > until:
                raise
        time.sleep(wait_s)
        wait_s = min(WAIT_MAX_S, wait_s * 2)
