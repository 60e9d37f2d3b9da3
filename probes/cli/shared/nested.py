"""Values of any shape as lines of text, for people: never the notation of a programming language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from probes.core.diagnostics import printable
from probes.core.units import Duration, Size

MOST: Final = 300
"""Characters of one value."""


def lines(label: str, value: Any, width: int = 0) -> list[str]:
    """``label: value``, or what is in the value as indented lines below ``label:``; ``width`` columns for the label.

    Nothing is said of what is empty inside.
    """
    if hasattr(value, "model_dump"):
        value = value.model_dump(exclude_none=True)
    if isinstance(value, Mapping) and value:
        inner = [line for name, part in value.items() if part not in ({}, [], "") for line in lines(str(name), part)]
    elif _list(value) and not all(map(_plain, value)):
        inner = [line for part in value for line in _item(part)]
    else:
        return [f"{printable(label) + ':':{width}} {printable(text(value))}".rstrip()]
    return [f"{printable(label)}:", *(f"  {line}" for line in inner)]


def text(value: Any) -> str:
    """A value in one line, cut to :data:`MOST` characters: ``1, 2`` for a list, ``name value, other value`` for a mapping."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(exclude_none=True)
    if value is None or isinstance(value, bool):
        told = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, float) and not isinstance(value, Duration):
        told = f"{value:g}"
    elif isinstance(value, Mapping):
        told = ", ".join(f"{name} {text(part)}" for name, part in value.items())
    elif _list(value):
        told = ", ".join(map(text, value))
    else:
        told = str(value)
    return told if len(told) <= MOST else told[: MOST - 1] + "…"


def _item(value: Any) -> list[str]:
    """One of a list, behind a dash."""
    if isinstance(value, Mapping) and value:
        first, *more = [line for name, part in value.items() for line in lines(str(name), part)]
    else:
        first, more = printable(text(value)), []
    return [f"- {first}", *(f"  {line}" for line in more)]


def _list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, Duration, Size))
