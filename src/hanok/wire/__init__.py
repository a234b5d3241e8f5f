"""Protocols as functions between bytes and core values. No I/O, no clock."""
