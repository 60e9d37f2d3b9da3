"""Tells whoever watches the terminal, or reads the log."""

from __future__ import annotations

from probes.channels.delivery.request import Channel, Line
from probes.channels.delivery.words import text
from probes.core.alert import Alert
from probes.core.kind import Shape


class Config(Shape):
    """``console: {}``: nothing to configure."""


def message(alert: Alert, config: Config, now: float) -> Line:
    """One block of text; everything a target wrote is escaped."""
    return Line(text(alert, now))


CHANNEL = Channel("console", "a block of text on the terminal of `probes up`, or in the log", Config, "console: {}", message)
