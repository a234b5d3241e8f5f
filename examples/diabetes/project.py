"""How far will a patient's diabetes have progressed in a year? 442 patients (Efron et al. 2004, in scikit-learn).

Run it: python project.py
"""

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

import hanok as hk

MEASURED = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]

progression = hk.Model(
    "progression",
    task="regression",
    spine=hk.Spine("patients", predict_at="visited", keys="patient"),
    label=hk.Label("followups", column="progression", known_at="seen_again"),
    features=MEASURED,
    train=hk.AutoML(metric="rmse", trials=4),
    split=hk.at_random(test=0.25),
    gate=hk.Gate(beats="champion", metric="rmse"),
)


def read(name: str, columns: list[str], scale: str) -> pa.Table:
    folder = Path(find_spec("sklearn").submodule_search_locations[0]) / "datasets" / "data"
    options = csv.ReadOptions(column_names=columns)
    return csv.read_csv(folder / name, options, csv.ParseOptions(delimiter=scale))


def main() -> None:
    patients = read("diabetes_data_raw.csv.gz", MEASURED, " ")
    number = pa.array([f"P{i:03d}" for i in range(patients.num_rows)])
    visited = pa.array([datetime(2003, 1, 1, tzinfo=UTC)] * patients.num_rows, pa.timestamp("us", "UTC"))
    patients = patients.append_column("patient", number).append_column("visited", visited)
    outcome = read("diabetes_target.csv.gz", ["progression"], ",").append_column("patient", number)
    followups = outcome.append_column("seen_again", pa.array([datetime(2004, 1, 1, tzinfo=UTC)] * len(number)))

    with hk.open(project=__file__) as hanok:
        print(hanok.ingest("patients", patients, key="study"))
        print(hanok.ingest("followups", followups, key="study"))
        trained = hanok.train("progression")
        print(trained["verdict"]["why"])
        print(hanok.predict("progression", patient="P007"))


if __name__ == "__main__":
    main()
