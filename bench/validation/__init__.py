"""Validation and drift, measured: false alarms and power, embeddings, estimated performance, speed."""
