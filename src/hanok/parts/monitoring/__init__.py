"""Monitoring: labels joined late, performance by day and slice, drift weighed by harm, alerts."""
