"""Statistics held to a schema, with TFDV's vocabulary."""

from hanok.parts.validation.schemas.validate import Report, validate

__all__ = ["Report", "validate"]
