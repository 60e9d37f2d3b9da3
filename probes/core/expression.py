"""Assertions: ``fact operator value``, parsed with columns, typed by a kind's facts, judged without coercion.

An assertion is data: nothing in it is evaluated, loops or recurses, whatever the target answers. Text of the target meets only
RE2 (linear time), never :mod:`re`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from probes.core import grammar
from probes.core.grammar import MISSING, Captured, ExpressionError, Missing, Subject, Value
from probes.core.kind import Fact
from probes.core.pattern import compiled
from probes.core.typecheck import check_assertion, check_subject
from probes.core.units import Duration
from probes.core.values import alike, equal, shown, sort

__all__ = ["MISSING", "Assertion", "Captured", "ExpressionError", "Missing", "Subject", "Value", "parse", "subject"]


@dataclass(frozen=True, slots=True, eq=False)
class Assertion:
    """One comparison. ``str()`` is its canonical text, and two assertions are equal when their texts are."""

    subject: Subject
    operator: str
    value: Value
    pattern: Any = field(default=None, repr=False)  # the compiled regular expression of `matches`

    def __str__(self) -> str:
        return f"{self.subject} {self.operator} {grammar.literal(self.value)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Assertion) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def check(self, facts: Mapping[str, Any], captures: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[bool, str]:
        """Whether it holds, and because of what: ``status was 503``.

        A missing fact or path fails every comparison, and so does null; only ``== null`` and ``!= null`` speak of absence.
        Values of unlike types fail every comparison (no coercion: ``true`` is not 1, ``"5"`` is not 5).

        Args:
            facts: values by fact name, as in :attr:`probes.core.result.Observation.facts`.
            captures: values by step id and name, for ``step.<id>.<name>``.
        """
        name, seen = str(self.subject), self.subject.read(facts)
        if self.value is None:
            absent = seen is MISSING or seen is None
            because = f"{name} was missing" if seen is MISSING else f"{name} was {shown(seen)}"
            return absent == (self.operator == "=="), because
        if seen is MISSING:
            return False, f"{name} was missing" + self._reason(facts)
        if seen is None:
            return False, f"{name} was null"
        expected, lacking = _resolve(self.value, captures or {})
        if lacking:
            return False, lacking
        negative = self.operator.startswith("not ") or self.operator == "!="
        verdict = _TESTS[self.operator.removeprefix("not ")](seen, self.pattern or expected)
        if verdict is None:
            return False, f"{name} was {shown(seen)}, which cannot be compared with {shown(expected)}"
        holds = verdict != negative
        because = f"{name} was {self._seen(seen, expected, holds)}"
        if isinstance(self.value, Captured):
            because += f", and {grammar.literal(self.value)} was {shown(expected)}"
        return holds, because

    def _reason(self, facts: Mapping[str, Any]) -> str:
        """A body that is not JSON is the usual cause of a missing path, so it is said."""
        whole = facts.get(self.subject.fact)
        return f": {self.subject.fact} is not JSON" if self.subject.path and isinstance(whole, str) else ""

    def _seen(self, seen: Any, expected: Any, holds: bool) -> str:
        """The value as it is told: a duration is rounded where that does not change the verdict."""
        if not isinstance(seen, Duration) or not math.isfinite(seen):
            return shown(seen)
        step = 60.0 if abs(seen) >= 86400 else 1.0 if abs(seen) >= 60 else 0.001 if abs(seen) >= 1 else 0.0001
        rounded = Duration(round(seen / step) * step)
        same = _TESTS[self.operator.removeprefix("not ")](rounded, expected)
        return shown(rounded if same is not None and (same != (self.operator in ("!=", "not in"))) == holds else seen)


def parse(text: str, facts: Mapping[str, Fact] | None = None) -> Assertion:
    """The assertion that ``text`` says; with ``facts`` (a kind's table) also typed. Raises :class:`ExpressionError`."""
    assertion, columns = _parsed(text)
    if facts is None:
        return assertion
    found, value = check_assertion(assertion.subject, assertion.operator, assertion.value, columns, facts)
    if found is assertion.subject and value is assertion.value:
        return assertion
    return Assertion(found, assertion.operator, value, assertion.pattern)


def subject(text: str, facts: Mapping[str, Fact] | None = None) -> Subject:
    """The subject that ``text`` says, for captures (``body.items[0].id``). Raises :class:`ExpressionError`."""
    found, columns = grammar.subject(text)
    return found if facts is None else check_subject(found, columns, facts)[0]


@lru_cache(maxsize=2048)
def _parsed(text: str) -> tuple[Assertion, grammar.Columns]:
    found, operator, value, columns = grammar.assertion(text)
    pattern = None
    if operator in ("matches", "not matches"):
        pattern = compiled(value, text, columns.value)
    return Assertion(found, operator, value, pattern), columns


def _resolve(value: Any, captures: Mapping[str, Mapping[str, Any]]) -> tuple[Any, str]:
    """The value with captures put in, and what is lacking when one was not captured."""
    if isinstance(value, Captured):
        found = captures.get(value.step, {}).get(value.key, MISSING)
        lacking = "missing" if found is MISSING else "null" if found is None else ""
        return found, lacking and f"{grammar.literal(value)} was {lacking}"
    if not isinstance(value, tuple):
        return value, ""
    parts = []
    for part in value:
        resolved, lacking = _resolve(part, captures)
        if lacking:
            return value, lacking
        parts.append(resolved)
    return parts, ""


# Each test says True, False, or None when the two cannot be compared.


def _equals(seen: Any, expected: Any) -> bool | None:
    return equal(seen, expected) if alike(seen, expected) else None


def _orders(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    def test(seen: Any, expected: Any) -> bool | None:
        return compare(seen, expected) if alike(seen, expected) and sort(seen) in ("number", "duration", "size") else None

    return test


def _within(seen: Any, expected: Any) -> bool | None:
    if not isinstance(expected, list) or not any(alike(seen, part) for part in expected):
        return None
    return any(equal(seen, part) for part in expected)


def _contains(seen: Any, expected: Any) -> bool | None:
    if isinstance(seen, (str, Mapping)):
        return expected in seen if isinstance(expected, str) else None
    if isinstance(seen, (list, tuple)):
        return any(equal(part, expected) for part in seen)
    return None


def _matches(seen: Any, pattern: Any) -> bool | None:
    # Bytes, because RE2 works on UTF-8 and JSON may hold halves of surrogate pairs, which have none.
    return pattern.search(seen.encode("utf-8", "replace")) is not None if isinstance(seen, str) else None


_TESTS: Final[dict[str, Callable[[Any, Any], bool | None]]] = {
    "==": _equals,
    "!=": _equals,
    "<": _orders(lambda seen, expected: bool(seen < expected)),
    "<=": _orders(lambda seen, expected: bool(seen <= expected)),
    ">": _orders(lambda seen, expected: bool(seen > expected)),
    ">=": _orders(lambda seen, expected: bool(seen >= expected)),
    "in": _within,
    "contains": _contains,
    "matches": _matches,
}
