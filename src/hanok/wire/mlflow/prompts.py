"""Prompts travel as registered models with a tag; searches leave them out unless they ask for them."""

from __future__ import annotations

from hanok.core.tracking import All, AnyOf, Comparison, Filter, Not

IS_PROMPT = "mlflow.prompt.is_prompt"
_NOT_A_PROMPT = AnyOf((Comparison("tag", IS_PROMPT, "IS NULL"), Comparison("tag", IS_PROMPT, "!=", "true")))


def without_prompts(wanted: Filter) -> Filter:
    """`wanted`, and no prompts unless it says itself what it wants of them."""
    said = _replaced(wanted)
    return said if said is not wanted else All((wanted, _NOT_A_PROMPT))


def _replaced(wanted: Filter) -> Filter:
    """The same object when nothing in it is about prompts. What has no tag counts as no prompt."""
    if isinstance(wanted, Comparison):
        if (wanted.subject, wanted.key) != ("tag", IS_PROMPT):
            return wanted
        asks_for = (wanted.value == "true") == (wanted.operator == "=")
        return Comparison("tag", IS_PROMPT, "=", "true") if asks_for else AnyOf(_NOT_A_PROMPT.parts)
    if isinstance(wanted, Not):
        inner = _replaced(wanted.part)
        return wanted if inner is wanted.part else Not(inner)
    parts = tuple(_replaced(part) for part in wanted.parts)
    if all(new is old for new, old in zip(parts, wanted.parts, strict=True)):
        return wanted
    return All(parts) if isinstance(wanted, All) else AnyOf(parts)
