"""The line itself: probe what is due, settle what was reported, let time pass, pay what is owed. The same in every world."""

from probes.pipeline.execute import Report, execute, look
from probes.pipeline.pay import pay
from probes.pipeline.people import acknowledge, applied, beat, rejected, silence, silences, unsilence
from probes.pipeline.settle import adopt, settle, tick

__all__ = [
    "Report",
    "acknowledge",
    "adopt",
    "applied",
    "beat",
    "execute",
    "look",
    "pay",
    "rejected",
    "settle",
    "silence",
    "silences",
    "tick",
    "unsilence",
]
