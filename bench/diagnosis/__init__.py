"""Does `why` name what was broken? On a year of flights (`flights`), and on foreign data with faults that sit upstream
of the store (`upstream`: python -m bench.diagnosis)."""

from bench.diagnosis.flights import measure

__all__ = ["measure"]
