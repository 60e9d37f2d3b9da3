"""Plain scalars by the core schema of YAML 1.2, section 10.3.2: ``on``, ``no``, ``12:30`` and ``2024-01-01`` are text."""

from __future__ import annotations

import math
import re
from typing import Final

DIGITS: Final = 30  # of an integer: a longer one is an id, and JSON readers would round it

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_STRANGE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def plain(text: str) -> str | int | float | bool | None:
    """The value of a scalar without quotes. Numbers with leading zeros stay text: they are codes.

    Raises ValueError for a number that JSON or arithmetic could not hold (not finite, more than :data:`DIGITS` digits).
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > DIGITS:
            raise ValueError(f"a number may have {DIGITS} digits")
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"the number {text[:40]} is too large")
        return number
    if _STRANGE.fullmatch(text):
        raise ValueError(f"`{text}` is not a number that can be used")
    return text
