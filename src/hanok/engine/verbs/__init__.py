"""What can be asked of an open home, by name: the command line, the client and the HTTP API all call these."""

from hanok.engine.verbs.registry import VERBS, Verb, call

__all__ = ["VERBS", "Verb", "call"]
