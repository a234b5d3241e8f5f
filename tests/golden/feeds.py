"""Seeded feeds of the bicycle hire for 14 days. Do not change them: the homes in this folder were made with them."""

import numpy as np
import pyarrow as pa

import hanok as hk

START = "2026-03-01"
DAYS = 14
FIRST_TRAINING = "5d"
HIRES_A_DAY = 40
_RIDERS = 30


def _at(values):
    return pa.array(values.astype("datetime64[us]"), pa.timestamp("us", "UTC"))


def feeds():
    rng = np.random.default_rng(17)
    start, day, second = np.datetime64(START, "us"), np.timedelta64(1, "D"), np.timedelta64(1, "s")
    count = DAYS * HIRES_A_DAY
    taken = start + np.sort(rng.integers(0, DAYS * 86_400, count)) * second
    hour = taken.astype("datetime64[h]").astype("datetime64[us]")
    rider = rng.integers(1000, 1000 + _RIDERS, count)
    station = rng.choice(["Dock 1", "Hafen/Süd", "역 광장"], count, p=[0.5, 0.3, 0.2])
    bicycle = rng.choice(["city", "cargo", "race"], count, p=[0.6, 0.25, 0.15])
    electric = rng.random(count) < 0.4
    km = np.round(rng.gamma(2.0, 4.0, count), 2)
    km = np.where(taken > start + 9 * day, km * 1.7, km)  # a shift that drift has to find
    people = rng.integers(1, 4, count)
    chance = 1 / (1 + np.exp(-(-1.5 + 0.15 * (km - 8) + 1.2 * (bicycle == "cargo"))))
    late = (rng.random(count) < chance).astype(int)
    back = taken + rng.integers(3600, 30 * 3600, count) * second
    told = back + np.where(rng.random(count) < 0.1, 3, 0) * day  # some are told three days later
    hires = pa.table(
        {
            "hire": [f"h-{i:04d}" for i in range(count)],
            "taken": _at(taken),
            "hour": _at(hour),
            "rider": pa.array(rider, pa.int64()),
            "station": station,
            "km": km,
            "bicycle": bicycle,
            "electric": electric,
            "people": pa.array(people, pa.int32()),
            "arrived": _at(taken),
        }
    )
    returns = pa.table(
        {
            "hire": hires.column("hire"),
            "station": station,
            "electric": electric,
            "km": km,
            "late": late,
            "back": _at(back),
            "arrived": _at(told),
        }
    )
    since = start - np.arange(_RIDERS) * day
    riders = pa.table(
        {
            "rider": pa.array(range(1000, 1000 + _RIDERS), pa.int64()),
            "since": _at(since),
            "age": pa.array(rng.integers(16, 80, _RIDERS), pa.int64()),
            "member": rng.random(_RIDERS) < 0.5,
            "town": [None if i % 7 == 3 else rng.choice(["Ulsan", "Köln"]) for i in range(_RIDERS)],
            "arrived": _at(since),
        }
    )
    hours = start + np.arange(DAYS * 24) * np.timedelta64(1, "h")
    weather = pa.table(
        {
            "hour": _at(hours),
            "temperature": np.round(10 + 8 * np.sin(np.arange(DAYS * 24) / 24 * 2 * np.pi), 1),
            "sky": rng.choice(["clear", "rain"], len(hours)),
            "arrived": _at(hours),
        }
    )
    some = slice(0, count, 2)
    issued = taken[some] + np.timedelta64(2, "h")
    bills = pa.table(
        {
            "rider": pa.array(rider[some], pa.int64()),
            "issued": _at(issued),
            "km": km[some],
            "electric": electric[some],
            "arrived": _at(taken[some]),
        }
    )
    paid = issued + rng.integers(3600, 20 * 3600, len(issued)) * second
    amount = np.round(2 + 0.8 * km[some] * (1 + electric[some]) + rng.normal(0, 0.5, len(issued)), 2)
    payments = bills.select(["rider", "issued"])
    payments = payments.append_column("amount", pa.array(amount)).append_column("paid", _at(paid))
    payments = payments.append_column("arrived", _at(paid))
    slots = np.arange(count // 4)
    at = taken[::4] + np.timedelta64(30, "m")
    worn = rng.integers(1, 900, len(slots))
    state = np.digitize(worn / 900 + rng.normal(0, 0.15, len(slots)), [0.5, 0.8])
    inspections = pa.table(
        {
            "slot": pa.array(slots, pa.int64()),
            "electric": electric[::4],
            "at": _at(at),
            "km": km[::4],
            "bicycle": bicycle[::4],
            "age_days": pa.array(worn, pa.int64()),
            "arrived": _at(at),
        }
    )
    found = at + rng.integers(3600, 9 * 3600, len(slots)) * second
    findings = pa.table(
        {
            "slot": inspections.column("slot"),
            "electric": electric[::4],
            "found": np.array(["none", "scratch", "broken"])[state],
            "at": _at(found),
            "arrived": _at(found),
        }
    )
    return [
        hk.Feed("riders", riders, arrived="arrived", keys=["rider"], event_time="since"),
        hk.Feed("weather", weather, arrived="arrived", keys=["hour"], event_time="hour"),
        hk.Feed("hires", hires, arrived="arrived", keys=["hire"], event_time="taken"),
        hk.Feed("returns", returns, arrived="arrived", keys=["hire"], event_time="back"),
        hk.Feed("bills", bills, arrived="arrived", keys=["rider", "issued"], event_time="issued"),
        hk.Feed("payments", payments, arrived="arrived", keys=["rider", "issued"], event_time="paid"),
        hk.Feed("inspections", inspections, arrived="arrived", keys=["slot", "electric"], event_time="at"),
        hk.Feed("findings", findings, arrived="arrived", keys=["slot", "electric"], event_time="at"),
    ]
