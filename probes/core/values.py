"""Values of facts: what sort they are, when two are equal, how one is shown. Safe on whatever a target sends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from probes.core.diagnostics import printable
from probes.core.units import Duration, Size

LONGEST: Final = 200  # characters of a value that are shown


def sort(value: Any) -> str:
    """``number``, ``text``, ``boolean``, ``duration``, ``size``, ``list``, ``map``, ``null``; ``nan`` is like nothing."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, Duration):
        return "nan" if math.isnan(value) else "duration"
    if isinstance(value, Size):
        return "size"
    if isinstance(value, (int, float)):
        return "nan" if isinstance(value, float) and math.isnan(value) else "number"
    if isinstance(value, str):
        return "text"
    if value is None:
        return "null"
    return "map" if isinstance(value, Mapping) else "list" if isinstance(value, (list, tuple)) else "unknown"


def alike(one: Any, other: Any) -> bool:
    """Whether two values can be compared: the same sort, and not a NaN."""
    kind = sort(one)
    return kind == sort(other) and kind not in ("nan", "unknown")


def equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, part by part, without coercion (1 is 1.0, true is not 1) and without recursion."""
    pairs = [(one, other)]
    while pairs:
        left, right = pairs.pop()
        if not alike(left, right):
            return False
        if isinstance(left, Mapping):
            if left.keys() != right.keys():
                return False
            pairs += [(value, right[key]) for key, value in left.items()]
        elif isinstance(left, (list, tuple)):
            if len(left) != len(right):
                return False
            pairs += zip(left, right, strict=True)
        elif left != right:
            return False
    return True


def shown(value: Any) -> str:
    """The value as a person reads it, at most :data:`LONGEST` characters, control characters escaped."""
    text = _shown(value, LONGEST, 4)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _shown(value: Any, room: int, levels: int) -> str:
    if isinstance(value, str):
        cut = value[: max(room, 0) + 1]
        text = '"' + printable(cut.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t"))
        length = f"… ({len(value):,} characters)"
        return text + '"' if len(value) == len(cut) and len(text) < room else text[: max(room - len(length), 1)] + length
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (Duration, Size)):
        return str(value)
    if isinstance(value, int):
        return str(value) if value.bit_length() < 500 else f"a number of about {round(value.bit_length() * math.log10(2)):,} digits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, (list, tuple, Mapping)):
        return _many(value, room, levels)
    return f"a {type(value).__name__}"


def _many(value: Any, room: int, levels: int) -> str:
    opening, closing = ("{", "}") if isinstance(value, Mapping) else ("[", "]")
    if levels == 0:
        return f"{opening}…{closing}"
    parts, used = [], 0
    for item in value.items() if isinstance(value, Mapping) else value:
        if used >= room:
            parts.append("…")
            break
        if isinstance(value, Mapping):
            key = _shown(item[0], room - used, 0)
            parts.append(f"{key}: {_shown(item[1], room - used - len(key), levels - 1)}")
        else:
            parts.append(_shown(item, room - used, levels - 1))
        used += len(parts[-1]) + 2
    return opening + ", ".join(parts) + closing
