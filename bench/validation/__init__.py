"""Validation and drift, measured: false alarms and power, embeddings, estimated performance, speed. Takes about ten
minutes; each module also runs by itself."""


def measure():
    from bench.validation import alarms, embeddings, estimates, speed

    return [*alarms.measure(), *embeddings.measure(), *estimates.measure(), *speed.measure()]
