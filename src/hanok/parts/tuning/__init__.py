"""Tuning: studies and trials, asked and told by any client."""
