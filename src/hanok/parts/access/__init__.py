"""Users, tokens, roles, projects, the audit record, and the guard that shows each caller only what is his to see."""

from hanok.parts.access.directory import Directory
from hanok.parts.access.guard import GuardedMetadata, GuardedTables
from hanok.parts.access.service import AccessVerbs

__all__ = ["AccessVerbs", "Directory", "GuardedMetadata", "GuardedTables"]
