"""A value that must not be shown: prints as ``****`` and is scrubbed from whatever leaves the probe."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "****"


class Secret:
    """A secret's value behind a type that never prints it. ``reveal()`` is the only way in."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """The value, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name}, {MASK})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def disguises(value: str) -> list[str]:
    """The spellings a value can leave in, longest first: itself, as in JSON, URL-quoted, hex, base64.

    Base64 in each of the three positions a value can have inside a longer text (``user:password`` of basic authentication),
    without the characters at the edges, which depend on the neighbours.
    """
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], raw.hex(), raw.hex().upper()}
    forms |= {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            text = encode(b"\0" * before + raw).decode().rstrip("=")
            inner = text[before + 1 if before else 0 : len(text) - (1 if (before + len(raw)) % 3 else 0)]
            forms |= {inner} if len(inner) >= 8 else {text} if before == 0 else set()
    return sorted((form for form in forms if len(form) >= 3), key=len, reverse=True)


def scrub(data: Any, values: Iterable[str]) -> Any:
    """``data`` (JSON values) with every disguise of every value replaced by :data:`MASK`, in keys as well."""
    forms = sorted({form for value in values for form in disguises(value)}, key=len, reverse=True)
    if not forms:
        return data
    return _scrub(data, forms)


def _scrub(data: Any, forms: list[str]) -> Any:
    if isinstance(data, str):
        for form in forms:
            if form in data:
                data = data.replace(form, MASK)
        return data
    if isinstance(data, dict):
        return {_scrub(key, forms): _scrub(value, forms) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(_scrub(value, forms) for value in data)
    return data
