"""Assertions against a kind's facts table: what could never be true is refused before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from probes.core.diagnostics import did_you_mean
from probes.core.grammar import Captured, Columns, ExpressionError, Subject, literal
from probes.core.kind import Fact
from probes.core.values import sort

_NAMES: Final = {
    "number": "a number", "text": "text", "boolean": "a boolean", "duration": "a duration", "size": "a size", "list": "a list",
    "json": "JSON", "map": "a map of texts",
}  # fmt: skip
_EQUALITY: Final = ("==", "!=")
_ORDER: Final = ("<", "<=", ">", ">=")
_MEMBER: Final = ("in", "not in")
_PART: Final = ("contains", "not contains")
_REGEX: Final = ("matches", "not matches")
_ALLOWED: Final[dict[str, tuple[str, ...]]] = {
    "number": (*_EQUALITY, *_ORDER, *_MEMBER),
    "duration": (*_EQUALITY, *_ORDER, *_MEMBER),
    "size": (*_EQUALITY, *_ORDER, *_MEMBER),
    "text": (*_EQUALITY, *_MEMBER, *_PART, *_REGEX),
    "boolean": _EQUALITY,
    "list": (*_EQUALITY, *_PART),
    "map": _PART,
    "json": (*_EQUALITY, *_ORDER, *_MEMBER, *_PART, *_REGEX),
}


def check_subject(subject: Subject, columns: Columns, facts: Mapping[str, Fact]) -> tuple[Subject, str, str]:
    """The subject (keys of maps in lower case), its type, and the type of its items. Raises :class:`ExpressionError`."""
    fact = facts.get(subject.fact)
    if fact is None:
        hint = did_you_mean(subject.fact, facts) or f"the facts are {', '.join(sorted(facts)[:20])}"
        raise ExpressionError("unknown-fact", f"there is no fact `{subject.fact[:60]}` here", columns.fact, hint)
    path, kind, items = list(subject.path), str(fact.type), str(fact.of)
    for depth, part in enumerate(subject.path):
        whole = str(Subject(subject.fact, tuple(path[:depth])))
        if kind == "json":
            break
        if kind == "map" and isinstance(part, str):
            path[depth], kind = part.lower(), "text"
        elif kind == "list" and isinstance(part, int):
            kind, items = items, "text"
        else:
            message = f"`{whole}` is {_NAMES[kind]}, and has no part {f'[{part}]' if isinstance(part, int) else f'`{part[:60]}`'}"
            mend = f"write {whole}[0]" if kind == "list" else f'write {whole}["name"]' if kind == "map" else f"write {whole}"
            raise ExpressionError("assertion-type", message, columns.path[depth], mend)
    found = Subject(subject.fact, tuple(path), subject.length)
    if subject.length:
        if kind not in ("text", "list", "map", "json"):
            whole = str(Subject(subject.fact, tuple(path)))
            raise ExpressionError(
                "assertion-type", f"`{whole}` is {_NAMES[kind]}, and has no length", columns.fact, f"write {whole}"
            )
        kind = "number"
    return (subject if found == subject else found), kind, items


def check_assertion(
    subject: Subject, operator: str, value: Any, columns: Columns, facts: Mapping[str, Fact]
) -> tuple[Subject, Any]:
    """The subject and value as they are meant for these facts. Raises :class:`ExpressionError`."""
    found, kind, items = check_subject(subject, columns, facts)
    if value is None:
        return found, value
    if operator not in _ALLOWED[kind]:
        raise ExpressionError("assertion-type", f"`{found}` is {_NAMES[kind]}, and `{operator}` is not for that",
                              columns.operator, _instead(found, kind, operator, value))  # fmt: skip
    if kind == "map":
        _must_be(found, "text", value, columns.value, f"a key of `{found}` is text")
        return found, value.lower() if isinstance(value, str) else value
    if operator in _MEMBER:
        for part, column in zip(value, columns.parts, strict=True):
            _must_be(found, kind, part, column)
    elif kind == "list" and operator in _PART:
        _must_be(found, items, value, columns.value, f"`{found}` holds {_NAMES[items].removeprefix('a ')}")
    else:
        _must_be(found, kind, value, columns.value)
        if kind == "list" and isinstance(value, tuple):
            for part, column in zip(value, columns.parts, strict=True):
                _must_be(found, items, part, column, f"`{found}` holds {_NAMES[items].removeprefix('a ')}")
    return found, value


def _must_be(found: Subject, kind: str, value: Any, column: int, said: str | None = None) -> None:
    if kind == "json" or isinstance(value, Captured):
        return
    if isinstance(value, tuple):
        actual = "list"
    elif sort(value) == "number" and kind == "number":
        return
    else:
        actual = sort(value)
    if actual != kind:
        message = f"{said or f'`{found}` is {_NAMES[kind]}'}, but {literal(value)[:80]} is not"
        raise ExpressionError("assertion-type", message, column, _mend(found, kind, value))


def _mend(found: Subject, kind: str, value: Any) -> str | None:
    """What to write instead, where it can be guessed."""
    text = literal(value)
    if isinstance(value, tuple):
        return f"write {found} in {text[:80]}" if kind not in ("list", "map") else None
    if sort(value) == "number" and kind == "duration":
        return f"write {text}ms or {text}s"
    if sort(value) == "number" and kind == "size":
        return f"write {text}B or {text}KB"
    if kind == "list":
        return f"write {found} contains {text[:80]}"
    if kind == "text":
        return f'write "{text[:80]}"' if not isinstance(value, str) else None
    if kind == "boolean":
        return "write true or false"
    if isinstance(value, str):
        return f"write {value[:80]} without quotes" if value[:1].isdigit() else f"write {_EXAMPLES[kind]}"
    return f"write {_EXAMPLES[kind]}"


_EXAMPLES: Final = {"number": "a number, such as 200", "duration": "a duration, such as 300ms", "size": "a size, such as 64KB"}


def _instead(found: Subject, kind: str, operator: str, value: Any) -> str:
    if kind == "list" and operator in _MEMBER:
        return f"write {found} contains {literal(value[0])[:80]}, one line for each value"
    if kind == "boolean" and operator in _MEMBER:
        return f"write {found} == true"
    return f"write one of {', '.join(_ALLOWED[kind])}"
