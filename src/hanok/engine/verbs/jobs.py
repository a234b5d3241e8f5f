"""Verbs of jobs: what runs and ran, and how to end it; events that a reaction gave up."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.core.access import Access
from hanok.core.json import JsonObject
from hanok.core.records import to_body
from hanok.engine.arguments import Count
from hanok.engine.jobs import Jobs
from hanok.engine.verbs.registry import verb

LISTED = 50


@verb("job.list", Access.READ, "read")
def list_(jobs: Jobs, *, limit: Count = LISTED) -> Sequence[JsonObject]:
    """Trainings and other durable work, the newest first."""
    return [to_body(job) for job in jobs.newest(limit=limit)]


@verb("job.cancel", Access.EDIT, "urgent")
def cancel(jobs: Jobs, *, actor: str, id: str) -> JsonObject:
    """End a job, also one that runs."""
    return to_body(jobs.cancel(id, actor))


@verb("job.events", Access.OWN, "read")
def events(jobs: Jobs) -> Sequence[JsonObject]:
    """Events that a reaction failed on three times, and why."""
    return [to_body(aside) for aside in jobs.set_aside()]


@verb("job.replay", Access.OWN, "long")
def replay(jobs: Jobs, *, reaction: str = "", sequence: Count = 0) -> Sequence[JsonObject]:
    """Hand events that were set aside to their reaction again: all of them, or those of one reaction, or one."""
    return [to_body(aside) for aside in jobs.replay(reaction, sequence)]
