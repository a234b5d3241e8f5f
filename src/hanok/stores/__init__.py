"""Engines behind ports. Drivers are imported here and nowhere else."""
