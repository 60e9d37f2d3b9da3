"""Problems of a configuration: code, words, place, and how a person or a program reads them.

A line of ``render`` is what ``probes validate`` prints; ``document`` is the stable JSON form of ``--json``.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from probes.core import codes
from probes.core.secret import MASK

CODES: Final = codes.CODES
Severity = Literal["error", "warning"]
_WIDTH: Final = 120  # columns of a quoted line; a longer one is cut around the caret
_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration.

    Attributes:
        code: a stable word from :data:`CODES`.
        message: what is wrong, one line, without values of secrets.
        file, line, column: where; line and column count characters from 1.
        path: where in the data, such as ``checks.quote.must[1]``; empty at the top.
        hint: what to do, or None.
        severity: an ``error`` refuses the configuration, a ``warning`` does not.
    """

    code: str
    message: str
    file: str
    line: int = 1
    column: int = 1
    path: str = ""
    hint: str | None = None
    severity: Severity = "error"


class Rejected(Exception):
    """A configuration that was refused: ``problems`` holds all of them, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("; ".join(f"{p.file}:{p.line}:{p.column}: {p.message}" for p in self.problems[:3]))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems by file (in the order the files first appear), line and column; one that is said twice is kept once."""
    kept = tuple(dict.fromkeys(problems))
    files = {file: rank for rank, file in enumerate(dict.fromkeys(problem.file for problem in kept))}
    return tuple(sorted(kept, key=lambda problem: (files[problem.file], problem.line, problem.column)))


def dotted(path: Iterable[str | int]) -> str:
    """``("checks", "quote", "must", 1)`` as ``checks.quote.must[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def document(problem: Problem) -> dict[str, Any]:
    """The JSON form of ``probes validate --json``."""
    return {
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "hint": problem.hint,
    }


def render(problem: Problem, lines: Sequence[str] | None = None) -> str:
    """The problem for a terminal: place and message, the line with a caret, the path, the hint.

    ``lines`` are those of the problem's file (see :func:`split`); without them the line is not shown.
    """
    warning = "warning: " if problem.severity == "warning" else ""
    shown = [f"{printable(problem.file)}:{problem.line}:{problem.column}: {warning}{printable(problem.message)}"]
    if lines and 0 < problem.line <= len(lines):
        lines = concealed(lines, [problem]) if problem.code == "secret-reference" else lines
        text, caret = _window(lines[problem.line - 1], problem.column - 1)
        shown += [f"{problem.line:6} | {text}".rstrip(), f"       | {' ' * caret}^"]
    if problem.path:
        shown.append(f"       = at {printable(problem.path)}")
    if problem.hint:
        shown.append(f"       = hint: {printable(problem.hint)}")
    return "\n".join(shown)


def concealed(lines: Sequence[str], problems: Iterable[Problem]) -> list[str]:
    """The lines of one file, masked from each place where a secret's value was refused: no quoted line may show it."""
    shown = list(lines)
    for problem in problems:
        if problem.code == "secret-reference" and 0 < problem.line <= len(shown):
            shown[problem.line - 1] = f"{shown[problem.line - 1][: problem.column - 1]}{MASK}"
    return shown


def split(text: str) -> list[str]:
    """The lines of a file as YAML and editors count them: LF, CR LF or CR, and nothing else, ends a line."""
    return _BREAK.split(text)


def printable(text: str) -> str:
    """``text`` with every character that could move a cursor, hide or reorder text shown as its escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option that ``word`` was probably meant to be, or None. Cost is bounded for long words and many options."""
    if not word or len(word) > 64:
        return None
    near = [option for option in options if abs(len(option) - len(word)) <= 3]
    if len(near) > 500:
        near = [option for option in near if option[:1] == word[:1] or option[-1:] == word[-1:]][:500]
    folded = {option.casefold(): option for option in reversed(near)}
    found = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(word: str, options: Iterable[str]) -> str | None:
    """The hint ``did you mean `latency`?``, or None."""
    found = nearest(word, options)
    return f"did you mean `{found}`?" if found else None


def _escaped(character: str) -> str:
    if character.isprintable() or character == "\t":
        return " " if character == "\t" else character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _window(line: str, column: int) -> tuple[str, int]:
    """The part of ``line`` around ``column`` (from 0) as it is shown, and the screen column of the caret in it."""
    column = min(max(column, 0), len(line))
    start, end, before, after = 0, len(line), "", ""
    if len(line) > _WIDTH:
        start = max(0, min(column - _WIDTH // 2, len(line) - _WIDTH))
        end = start + _WIDTH
        before, after = "…" if start else "", "…" if end < len(line) else ""
    cells = [_escaped(character) if character != "\t" else "    " for character in line[start:end]]
    caret = sum(_columns(cell) for cell in cells[: column - start]) + len(before)
    return before + "".join(cells) + after, caret


def _columns(text: str) -> int:
    """Terminal columns that ``text`` takes: wide East Asian characters and emoji take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
