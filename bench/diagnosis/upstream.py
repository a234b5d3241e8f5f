"""Each fault in a copy of a clean home: seven days are lived with it, and on days 1, 3 and 7 it is asked what is wrong.

    python -m bench.diagnosis [--sets diamonds,insurance] [--kinds unit,sign] [--out FOLDER]

Answers are appended to FOLDER/answers.jsonl as they come, so that a run that was cut down goes on; the table of kinds
is printed at the end. CPU is what it costs: some 4 s a fault.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.diagnosis import truth, world
from bench.diagnosis.faults import faults
from bench.diagnosis.sets import SETS, DataSet
from bench.diagnosis.world import ASKED, FAULT_DAYS, Fault, World, copied, first_day
from hanok.engine.diagnosed import Diagnosis

Answer = dict[str, Any]


def shown(of: DataSet, fault: Fault | None, found: Diagnosis) -> Answer:
    """What was named, and on which rank the fault stands (0: not among them)."""
    ranks = [i + 1 for i, s in enumerate(found.suspects) if fault is not None and truth.names(of, fault, s)]
    return {
        "rank": ranks[0] if ranks else 0,
        "suspects": [[s.name, s.kind, round(s.explains, 3), list(s.columns)] for s in found.suspects[:5]],
        "sentence": found.sentence,
        "symptom": asdict(found.symptom),
    }


def clean_losses(name: str, folder: Path) -> dict[str, float]:
    """The loss of the rows of the fault's days as they are without one."""
    kept = folder / f"clean-{name}.json"
    if not kept.exists():
        lived = copied(name, folder, folder / "clean")
        first = first_day(lived.of)
        lived.live(first, FAULT_DAYS + 1)
        kept.write_text(json.dumps(lived.losses(first, FAULT_DAYS)))
        lived.close()
        shutil.rmtree(folder / "clean")
    return json.loads(kept.read_text())


def try_fault(name: str, fault: Fault, folder: Path) -> Answer:
    lived = copied(name, folder, folder / "broken")
    first = first_day(lived.of)
    asked: dict[str, Answer] = {}
    try:
        for number in range(FAULT_DAYS):
            lived.day(first + number, fault)
            if number + 1 in ASKED:
                asked[str(number + 1)] = shown(lived.of, fault, _ask(lived, first + number))
        lived.day(first + FAULT_DAYS, fault)  # the labels of the last day
        harmful, share = truth.harm(clean_losses(name, folder), lived.losses(first, FAULT_DAYS))
    finally:
        lived.close()
    harmful = harmful or fault.kind in truth.ALWAYS or fault.labels
    return {"set": name, "kind": fault.kind, "what": fault.column, "harmful": harmful, "worse": share, "asked": asked}


def _ask(lived: World, number: int) -> Diagnosis:
    return lived.ask(number)


def clean_days(name: str, folder: Path, days: int) -> list[Answer]:
    lived = copied(name, folder, folder / "unbroken")
    first, made = first_day(lived.of), []
    last = min(first + days, len(world._days(name)))
    for number in range(first, last):
        lived.day(number, None)
        made.append({"set": name, "kind": "clean", "what": str(number), **shown(lived.of, None, _ask(lived, number))})
    lived.close()
    return made


def run(folder: Path, names: Sequence[str], kinds: Iterable[str], clean: int) -> list[Answer]:
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "answers.jsonl"
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    known = {(a["set"], a["kind"], a["what"]) for a in done}
    with kept.open("a") as out:
        for name in names:
            for fault in faults(SETS[name]):
                if (name, fault.kind, fault.column) in known or (kinds and fault.kind not in kinds):
                    continue
                done.append(try_fault(name, fault, folder))
                print(json.dumps(done[-1]), file=out, flush=True)
            if clean and not any(a["set"] == name and a["kind"] == "clean" for a in done):
                for answer in clean_days(name, folder, clean):
                    done.append(answer)
                    print(json.dumps(answer), file=out, flush=True)
    return [a for a in done if a["set"] in names]


def table(answers: Sequence[Answer]) -> str:
    """By kind: harmful faults, first and among the first three on each of the days asked."""
    broken = [a for a in answers if a["kind"] != "clean"]
    by_kind: dict[str, list[Answer]] = defaultdict(list)
    for a in broken:
        by_kind[a["kind"]].append(a)
    lines = [f"{'kind':<15} harmful  " + "".join(f"day {d}: first  three   " for d in ASKED)]
    for kind in [*sorted(by_kind), "ALL"]:
        mine = [a for a in (broken if kind == "ALL" else by_kind[kind]) if a["harmful"]]
        cells = "".join(f"       {_share(mine, d, 1)}  {_share(mine, d, 3)}   " for d in ASKED)
        lines.append(f"{kind:<15} {len(mine):>3}/{len(broken if kind == 'ALL' else by_kind[kind]):<3}  {cells}")
    clean = [a for a in answers if a["kind"] == "clean"]
    named = [a for a in clean if a["suspects"]]
    lines.append(f"clean days: {len(named)} of {len(clean)} name something")
    lines += [f"    {a['set']} {a['what']}: {a['suspects'][0][:3]}" for a in named]
    return "\n".join(lines)


def _share(answers: Sequence[Answer], day: int, first: int) -> str:
    if not answers:
        return "  - "
    hits = sum(0 < a["asked"][str(day)]["rank"] <= first for a in answers)
    return f"{hits / len(answers):4.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=",".join(n for n, s in SETS.items() if not s.unseen))
    parser.add_argument("--kinds", default="")
    parser.add_argument("--clean", type=int, default=20, help="clean days of each set that are asked about")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "hanok-diagnosis")
    asked = parser.parse_args()
    kinds = [k for k in asked.kinds.split(",") if k]
    print(table(run(asked.out, asked.sets.split(","), kinds, asked.clean)))


if __name__ == "__main__":
    main()
