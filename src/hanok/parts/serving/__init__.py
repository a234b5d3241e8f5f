"""Serving: online one by one, batch in bulk; shadow, canary, rollback; every answer logged."""
