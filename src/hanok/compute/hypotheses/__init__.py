"""Hypotheses of what went wrong, as small programs: each proposes what could be and how to undo it; what is left
unlike when it is undone says whether to believe it. One file a kind."""

from hanok.compute.hypotheses.case import LABEL, Case, Proposal, TableDays
from hanok.compute.hypotheses.ranking import Believed, Verdict, judged

__all__ = ["LABEL", "Believed", "Case", "Proposal", "TableDays", "Verdict", "judged"]
