"""Regular expressions of ``matches``: compiled once, by an engine whose time is linear in the text, with bounded memory."""

from __future__ import annotations

import re
from typing import Any, Final

import re2  # type: ignore[import-untyped]  # google-re2 has no stubs

from probes.core.diagnostics import printable
from probes.core.grammar import ExpressionError

PROGRAM: Final = 1500  # RE2 instructions: each may cost about 1 ns for every byte of text


def compiled(value: object, text: str, column: int) -> Any:
    """The compiled expression that is written at ``column`` of ``text``. Raises :class:`ExpressionError` where it is wrong."""
    if not isinstance(value, str):
        raise ExpressionError("assertion-type", "`matches` takes a regular expression in quotes", column, 'write matches "^ok"')
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 18  # bytes for the program and its states: 10,000 patterns stay in memory
    try:
        found = re2.compile(value, options)
        said = "pattern too large" if found.programsize > PROGRAM else ""
    except re2.error as error:
        said = error.args[0] if error.args else "unknown"
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    if not said:
        return found
    reason, _, fragment = said.partition(": ")
    at = text.find(fragment, column) if fragment else -1
    at = column + 1 if at < 0 else at
    hint = None
    if fragment.startswith(("(?=", "(?!", "(?<")):
        reason, hint = "lookaround is not in RE2, whose time is linear", "write two assertions, such as matches and not matches"
    elif re.fullmatch(r"\\[1-9]", fragment):
        reason, hint = "backreferences are not in RE2, whose time is linear", "write the expression without them"
    elif "too large" in reason:
        hint = "use smaller repetitions"
    raise ExpressionError("regex", f"this is not a regular expression: {printable(said if hint is None else reason)}", at, hint)
