"""Continuous training: triggers, a durable pipeline, gates, rollout, rollback."""
