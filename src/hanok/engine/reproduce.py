"""`hanok reproduce`: rebuild a version's training set and model from the ids in the graph, and compare the bytes."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from pyarrow import parquet as pq

from hanok.core.errors import Invalid
from hanok.core.training import facts_of
from hanok.engine.evidence import Evidence
from hanok.engine.own_code import callable_model
from hanok.parts.training import pipeline
from hanok.parts.training.environment import environment
from hanok.parts.training.splitting import frame_of, judged_part


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Whether the rebuilt bytes are those that were stored. Bit-equality is promised for one environment on one CPU
    type; `same_environment` says whether this is the one."""

    model: str
    version: int
    training_set_bit_equal: bool
    model_bit_equal: bool
    same_environment: bool
    rows: int
    training_digest: str
    package: str
    snapshots: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def reproduce(parts: Evidence, model_name: str, version: int) -> Reproduction:
    """Raises ModelNotFound, Invalid for a version that was registered from outside, NotTrainable and Forbidden for one
    of own code that cannot be run."""
    found = parts.training.version(model_name, version)
    facts = facts_of(found)
    if not facts.training_set and found.facts.get("study"):
        raise Invalid(
            f"version {version} of {model_name!r} is trial {found.facts['trial']} of study {found.facts['study']!r}: "
            f"its own code made it. 'hanok run show {found.run_id}' has its params, command, commit and diff"
        )
    if not facts.training_set:
        raise Invalid(
            f"version {version} of {model_name!r} was registered from outside: Hanok knows no training set of it"
        )
    model = callable_model(
        parts.own_codes,
        parts.declared.of_version(found),
        facts.training_set,
        whose=f"version {version} of {model_name!r}",
    )
    made = parts.metadata.read(lambda r: r.lineage.node(facts.training_set)).facts
    rebuilt = parts.features.training_set(
        model,
        start=datetime.fromisoformat(made["start"]) if made["start"] else None,
        end=datetime.fromisoformat(made["end"]),
        as_of=datetime.fromisoformat(made["as_of"]),
        snapshots=made["snapshots"],
    )
    sink = io.BytesIO()
    pq.write_table(rebuilt.rows, sink, compression="zstd")
    training_digest = sha256(sink.getvalue()).hexdigest()
    frame = frame_of(model, rebuilt.rows)
    if not facts.holdout_included and facts.trained_until is not None:
        frame = judged_part(model, frame, rebuilt.rows, facts.trained_until)
    with parts.executing.fitting(model_name, lambda: None) as fitter:
        address = parts.packages.save(pipeline.fit(model, frame, facts.plan, fitter))
    return Reproduction(
        model_name,
        version,
        training_digest == made["digest"],
        address == found.package,
        environment().digest == facts.environment,
        rebuilt.rows.num_rows,
        training_digest,
        address,
        dict(made["snapshots"]),
    )
