"""The eight parts. Each has its verbs in service.py; none imports another."""
