"""The grammar of assertions: text to parts with columns, and back to canonical text.

assertion := subject operator value
subject   := fact { "." key | "[" index-or-"key" "]" }  |  "len(" subject ")"
operator  := == != < <= > >= | in | not in | contains | not contains | matches | not matches
value     := 12 | 3.5 | 300ms | 14d | 64KB | "text" | 'text' | true | false | null | [value, ...] | step.<id>.<key>
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple

from probes.core import units
from probes.core.diagnostics import did_you_mean, printable
from probes.core.units import Duration, Size

LENGTH: Final = 2000  # characters of one assertion
NESTING: Final = 16  # lists in lists of a value
OPERATORS: Final = ("==", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "not contains", "matches", "not matches")
_MEANT: Final = {
    "=": "==", "===": "==", "!==": "!=", "<>": "!=", "=<": "<=", "=>": ">=", "=~": "matches", "~": "matches", "~=": "matches",
    "!~": "not matches", "is": "==", "equals": "==", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "has": "contains", "includes": "contains", "like": "matches", "match": "matches", "contain": "contains",
    "one": "in", "notin": "not in", "isnt": "!=", "startswith": "matches", "endswith": "matches",
}  # fmt: skip

_SPACE = re.compile(r"[ \t\r\n]*")
_FACT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LEN = re.compile(r"len[ \t]*\(")
_INDEX = re.compile(r"[0-9]{1,9}")
_SYMBOL = re.compile(r"[=!<>~&|]+")
_WORD = re.compile(r"[A-Za-z]+")
_NOT = re.compile(r"not[ \t]+([A-Za-z]+)")
_QUOTED = {quote: re.compile(rf"{quote}((?:[^{quote}\\]|\\.)*){quote}", re.DOTALL) for quote in "\"'"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\\": "\\", "/": "/"}
_TOKEN = re.compile(r"[-+.]?[0-9][^\s,\]]*")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_DURATION = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_SIZE = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:B|KB|MB|GB)")
_STEP = re.compile(r"step\.([a-z0-9][a-z0-9-]*)\.([A-Za-z0-9_-]+)")
_LITERAL = re.compile(r"[^\s,\]]+")


class ExpressionError(Exception):
    """An assertion that cannot be used: ``code`` of the problem, ``message``, ``column`` (from 0, into the text), ``hint``."""

    def __init__(self, code: str, message: str, column: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.column, self.hint = code, message, column, hint


class Missing(Enum):
    """The one value that says: there is nothing here, not even null."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Captured:
    """A value kept by an earlier step: ``step.<id>.<key>``."""

    step: str
    key: str


Value = None | bool | int | float | str | Duration | Size | Captured | tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """What an assertion speaks of: a fact, keys and indexes into it, and whether its length is meant."""

    fact: str
    path: tuple[str | int, ...] = ()
    length: bool = False

    def __str__(self) -> str:
        text = self.fact
        for part in self.path:
            if isinstance(part, int):
                text += f"[{part}]"
            else:
                text += f".{part}" if _KEY.fullmatch(part) else f"[{quoted(part)}]"
        return f"len({text})" if self.length else text

    def read(self, facts: Mapping[str, Any]) -> Any:
        """The value in these facts, or :data:`MISSING`. Any shape of value is fine; the length of what has none is missing."""
        value = facts.get(self.fact, MISSING)
        for part in self.path:
            if isinstance(part, int):
                value = value[part] if isinstance(value, (list, tuple)) and part < len(value) else MISSING
            else:
                value = value.get(part, MISSING) if isinstance(value, Mapping) else MISSING
        if self.length and value is not None:
            return len(value) if isinstance(value, (str, list, tuple, Mapping)) else MISSING
        return value


class Columns(NamedTuple):
    """Offsets into the text (from 0): of the fact, of each part of the path, of the operator, of the value and its parts."""

    fact: int
    path: tuple[int, ...]
    operator: int = 0
    value: int = 0
    parts: tuple[int, ...] = ()


def assertion(text: str) -> tuple[Subject, str, Value, Columns]:
    """The parts of an assertion. Raises :class:`ExpressionError`."""
    reader = _Reader(text)
    found, columns = reader.subject()
    start, operator = reader.operator(found)
    at = reader.space()
    value, parts = reader.value(operator, 0)
    if value is None and operator not in ("==", "!="):
        raise ExpressionError("assertion-type", "null goes only with == and !=", at, f"write {found} != null")
    if operator in ("in", "not in") and (not isinstance(value, tuple) or not value or None in value):
        said = "a list that is not empty, and without null" if isinstance(value, tuple) else "a list"
        written = "[200, 204]" if value is None or isinstance(value, (tuple, Captured)) else f"[{literal(value)}]"
        raise ExpressionError("assertion-type", f"`{operator}` takes {said}", at, f"write {found} {operator} {written}")
    reader.end()
    return found, operator, value, Columns(columns.fact, columns.path, start, at, parts)


def subject(text: str) -> tuple[Subject, Columns]:
    """The parts of a subject on its own. Raises :class:`ExpressionError`."""
    reader = _Reader(text)
    found = reader.subject()
    reader.end()
    return found


def literal(value: Value) -> str:
    """The canonical text of a value."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Captured):
        return f"step.{value.step}.{value.key}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def quoted(text: str) -> str:
    """A text as an assertion holds it: JSON, with what cannot be seen (and ``${{``, which would be a reference) escaped."""
    written = json.dumps(text, ensure_ascii=False).replace("${{", "\\u0024{{")
    if written.isprintable():
        return written
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in written)


class _Reader:
    """Reads from left to right; every error has the column where it was found."""

    def __init__(self, text: str) -> None:
        if len(text) > LENGTH:
            raise ExpressionError("limit", f"an assertion is at most {LENGTH:,} characters", LENGTH)
        found = text.find("${{")
        if found >= 0:
            hint = "compare with a captured value as step.<id>.<name>, without ${{ }}"
            raise ExpressionError("template", "references are not filled in assertions", found, hint)
        self.text, self.at = text, 0

    def space(self) -> int:
        """Skip white space; the new position."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def end(self) -> None:
        at = self.space()
        if at == len(self.text):
            return
        rest = _LITERAL.match(self.text, at)
        word = rest[0] if rest else self.text[at]
        hint = None
        if word in ("and", "&&", "&"):
            hint = "write two lines: a list of assertions means and"
        elif word in ("or", "||", "|"):
            hint = "write one `in` with a list, or two checks: there is no or"
        raise ExpressionError("assertion", f"nothing may follow, but `{_short(word)}` does", at, hint)

    def subject(self) -> tuple[Subject, Columns]:
        start = self.space()
        function = _LEN.match(self.text, start)
        if function is None:
            fact, path, columns = self._walk()
            return Subject(fact, path), columns
        self.at = function.end()
        self.space()
        if _LEN.match(self.text, self.at):
            raise ExpressionError("assertion", "len() takes a fact, not another len()", self.at)
        fact, path, columns = self._walk()
        if not self.text.startswith(")", self.space()):
            raise ExpressionError(
                "assertion", "the parenthesis of len( is not closed", self.at, f"write len({Subject(fact, path)})"
            )
        self.at += 1
        return Subject(fact, path, length=True), columns

    def _walk(self) -> tuple[str, tuple[str | int, ...], Columns]:
        start = self.at
        name = _FACT.match(self.text, start)
        if name is None:
            found = f"`{_short(self.text[start : start + 20])}`" if start < len(self.text) else "nothing"
            raise ExpressionError(
                "assertion", f"an assertion begins with a fact, but there is {found}", start, "write status == 200"
            )
        self.at = name.end()
        path: list[str | int] = []
        columns: list[int] = []
        while self.text[self.at : self.at + 1] in (".", "["):
            dot = self.text[self.at] == "."
            self.at += 1
            if dot:
                key = _KEY.match(self.text, self.at)
                if key is None:
                    hint = 'write keys with other characters as ["key"]'
                    raise ExpressionError("assertion", "a key is expected after the dot", self.at, hint)
                columns.append(self.at)
                path.append(key[0])
                self.at = key.end()
            else:
                columns.append(self.space())
                path.append(self._bracket())
        return name[0], tuple(path), Columns(start, tuple(columns))

    def _bracket(self) -> str | int:
        at = self.at
        index = _INDEX.match(self.text, at)
        part: str | int
        if index:
            part, self.at = int(index[0]), index.end()
        elif self.text[at : at + 1] in ("'", '"'):
            part = self._string()
        else:
            raise ExpressionError(
                "assertion", "an index from 0, or a key in quotes, is expected in [ ]", at, 'write [0] or ["key"]'
            )
        if not self.text.startswith("]", self.space()):
            raise ExpressionError("assertion", "`]` is expected here", self.at)
        self.at += 1
        return part

    def operator(self, found: Subject) -> tuple[int, str]:
        """The operator and where it starts."""
        at = self.space()
        if at == len(self.text):
            raise ExpressionError(
                "assertion", f"after `{_short(str(found))}` an operator and a value are missing", at, "write status == 200"
            )
        match = _SYMBOL.match(self.text, at) or _NOT.match(self.text, at) or _WORD.match(self.text, at)
        if match is None:
            found_there = _short(self.text[at : at + 20].partition(" ")[0])
            hint = f"the operators are {', '.join(OPERATORS)}"
            raise ExpressionError("unknown-operator", f"an operator is expected, but there is `{found_there}`", at, hint)
        word = " ".join(match[0].split())
        if word not in OPERATORS:
            meant = _MEANT.get(word.lower().removeprefix("not "))
            meant = f"not {meant}" if meant and word.startswith("not ") and f"not {meant}" in OPERATORS else meant
            near = f"did you mean `{meant}`?" if meant else did_you_mean(word, OPERATORS)
            hint = near or f"the operators are {', '.join(OPERATORS)}"
            raise ExpressionError("unknown-operator", f"there is no operator `{_short(word)}`", at, hint)
        self.at = match.end()
        return at, word

    def value(self, operator: str, depth: int) -> tuple[Value, tuple[int, ...]]:
        """A value, and where its parts start when it is a list."""
        at = self.space()
        start = self.text[at : at + 1]
        if start in ("'", '"') and start:
            return self._string(operator), ()
        if start == "[":
            return self._list(operator, depth)
        token = _TOKEN.match(self.text, at)
        if token:
            self.at = token.end()
            return _number(token[0], at), ()
        step = _STEP.match(self.text, at)
        if step:
            self.at = step.end()
            return Captured(step[1], step[2]), ()
        word = _LITERAL.match(self.text, at)
        if word is None:
            raise ExpressionError("assertion", f"after `{operator}` a value is missing" if operator else "a value is missing", at)
        if word[0] in _WORDS:
            self.at = word.end()
            return _WORDS[word[0]], ()
        if word[0].startswith("step."):
            raise ExpressionError("assertion", "a captured value is step.<id>.<name>", at, "write step.login.token")
        if word[0].lower() in ("true", "false", "null", "none", "nil"):
            mend = {"none": "null", "nil": "null"}.get(word[0].lower(), word[0].lower())
            raise ExpressionError("assertion", f"`{word[0]}` is not a value", at, f"write {mend}")
        hint = f"write {quoted(_short(self.text[at:].strip()))}"
        raise ExpressionError("assertion", f"text needs quotes, but `{_short(word[0])}` has none", at, hint)

    def _list(self, operator: str, depth: int) -> tuple[Value, tuple[int, ...]]:
        start = self.at
        if depth >= NESTING:
            raise ExpressionError("limit", f"lists may be nested {NESTING} deep", start)
        self.at += 1
        values: list[Value] = []
        columns: list[int] = []
        if self.text.startswith("]", self.space()):
            self.at += 1
            return (), ()
        while True:
            columns.append(self.space())
            values.append(self.value(operator, depth + 1)[0])
            mark = self.text[self.space() : self.at + 1]
            if mark not in (",", "]") or not mark:
                raise ExpressionError(
                    "assertion", "`,` or `]` is expected in the list", self.at, "the list began with `[`; close it"
                )
            self.at += 1
            if mark == "]":
                return tuple(values), tuple(columns)

    def _string(self, operator: str = "") -> str:
        start = self.at
        quote = self.text[start]
        match = _QUOTED[quote].match(self.text, start)
        if match is None:
            raise ExpressionError("assertion", f"this {quote} quote is not closed", start, f"end the text with {quote}")
        self.at = match.end()
        if "\\" not in match[1]:
            return _whole(match[1], start)

        def unescape(escape: re.Match[str]) -> str:
            character = escape[1]
            if len(character) == 5:
                return chr(int(character[1:], 16))
            if character in _ESCAPES or character == quote:
                return _ESCAPES.get(character, character)
            known = 'the escapes are those of JSON: \\" \\\\ \\/ \\b \\f \\n \\r \\t \\u00e9'
            hint = f"write the backslash twice: \\\\{character}" if operator.endswith("matches") else known
            raise ExpressionError("assertion", f"`\\{printable(character)}` is not an escape", start + 1 + escape.start(), hint)

        return _whole(_ESCAPE.sub(unescape, match[1]), start)


_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


def _whole(text: str, column: int) -> str:
    """The text with pairs of surrogates joined. Raises where one is alone, which is no character."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise ExpressionError("assertion", "the text holds half of a surrogate pair, which is no character", column) from None


def _number(token: str, column: int) -> Value:
    number = _NUMBER.fullmatch(token)
    if number:
        value = int(token) if number[1] is None and number[2] is None else float(token)
        if isinstance(value, float) and not math.isfinite(value):
            raise ExpressionError("assertion", f"the number {_short(token)} is too large", column)
        return value
    try:
        if _DURATION.fullmatch(token):
            return Duration(-units.duration(token[1:])) if token[0] == "-" else units.duration(token)
        if _SIZE.fullmatch(token):
            return units.size(token)
    except ValueError as error:
        raise ExpressionError("unit", str(error), column) from None
    digits = re.match(r"[-+.0-9]*[0-9]", token)
    count, unit = (digits[0], token[digits.end() :]) if digits else ("1", token)
    hint = "durations are written with ms, s, m, h or d, sizes with B, KB, MB or GB, text in quotes"
    if unit == "%":
        hint = f"write {count}"
    elif unit.upper() in ("B", "KB", "MB", "GB"):
        hint = f"write {count}{unit.upper()}"
    elif unit.lower() in _UNITS:
        hint = f"write {count}{_UNITS[unit.lower()]}"
    elif unit == "":
        hint = f"write {quoted(token)} if it is text"
    raise ExpressionError(
        "unit" if unit.isalpha() else "assertion", f"`{_short(token)}` is not a number, a duration or a size", column, hint
    )


_UNITS: Final[dict[str, str]] = {
    **dict.fromkeys(("msec", "msecs", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("byte", "bytes"), "B"),
    "k": "KB",
    "kib": "KB",
    "mib": "MB",
    "g": "GB",
    "gib": "GB",
}


def _short(text: str) -> str:
    return printable(text if len(text) <= 60 else text[:59] + "…")
