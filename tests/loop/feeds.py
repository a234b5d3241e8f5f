"""Seeded feeds of the shop for 20 days."""

import numpy as np
import pyarrow as pa

import hanok as hk

START = "2026-01-01"
FIRST_TRAINING = "8d"
ORDERS_A_DAY = 120


def _at(values):
    return pa.array(values.astype("datetime64[us]"), pa.timestamp("us", "UTC"))


def feeds(days=20):
    rng = np.random.default_rng(5)
    count = days * ORDERS_A_DAY
    start = np.datetime64(START, "us")
    ordered = start + np.sort(rng.integers(0, days * 86_400, count)) * np.timedelta64(1, "s")
    product = rng.choice(["mug", "vase", "bowl"], count, p=[0.5, 0.3, 0.2])
    size = rng.normal(10, 3, count).round(2)
    chance = 1 / (1 + np.exp(-(-2.0 + 1.6 * (product == "vase") + 0.25 * (size - 10))))
    returned = (rng.random(count) < chance).astype(int)
    order = np.array([f"o{i:05d}" for i in range(count)])
    known = ordered + rng.integers(3600, 36 * 3600, count) * np.timedelta64(1, "s")
    changes = [(p, d) for p in ("mug", "vase", "bowl") for d in range(days)]
    changed = start + np.array([d for _, d in changes]) * np.timedelta64(1, "D")
    orders = pa.table(
        {"order": order, "ordered": _at(ordered), "product": product, "size": size, "arrived": _at(ordered)}
    )
    labels = pa.table(
        {"order": order, "product": product, "returned": returned, "known": _at(known), "arrived": _at(known)}
    )
    prices = pa.table(
        {
            "product": [p for p, _ in changes],
            "changed": _at(changed),
            "amount": [20.0 + d for _, d in changes],
            "arrived": _at(changed),
        }
    )
    return [
        hk.Feed("orders", orders, arrived="arrived", keys=["order"], event_time="ordered"),
        hk.Feed("prices", prices, arrived="arrived", keys=["product"], event_time="changed"),
        hk.Feed("returns", labels, arrived="arrived", keys=["order"], event_time="known"),
    ]
