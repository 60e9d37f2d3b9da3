"""The laptop: the whole line in one process. SQLite store, asyncio schedule and bus, secrets from the environment, a web page."""

from __future__ import annotations


class Refused(Exception):
    """Something cannot start or be opened here; the text says what, where and what to do."""
