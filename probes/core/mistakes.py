"""The YAML parser's complaints in plain words, with the mend of the common mistakes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Said = tuple[str, str, int, int, str | None]  # code, message, line, column (from 1), hint

BRACES = ("YAML reads `{{` as the start of a mapping", "write ${{ var.name }} for a reference, or put quotes around the value")
_KEYED = re.compile(r"\s*(?:- +)*[^\s:#][^:#]*:[ \t]+\S")
_QUOTE_THEN = re.compile(r"""(["']).*?\1[ \t]*$""")


def explain(error: Any, lines: Sequence[str]) -> Said:
    """What a ``yaml.MarkedYAMLError`` means. ``lines`` are those of the file."""
    problem, context = error.problem or "", error.context or ""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    began = error.context_mark
    text = lines[line] if line < len(lines) else ""
    at = text[column : column + 1]

    braces = _braces(context, problem, lines, line, began)
    if braces:
        return braces
    if "quoted scalar" in context and "end of stream" in problem:
        quote = lines[began.line][began.column : began.column + 1]
        return _said(f"this {quote} quote is never closed", began.line, began.column, "close it, or remove it")
    if "quoted scalar" in context and "escape" in problem:
        hint = "put the text in single quotes, where a backslash is a backslash, or write it twice"
        start = max(text.rfind("\\", 0, column + 1), 0)
        escape = re.match(r"\\u?[0-9a-fA-F]*", text[start:])
        shown = escape[0] if escape and len(escape[0]) > 1 else text[start : start + 2]
        return _said(f"`{shown}` is not an escape that double quotes know", line, start, hint)
    if "tab character" in problem or (at == "\t" and not text[:column].strip()):
        return _said("a tab is used for indentation, and YAML takes only spaces", line, column, "replace the tab by spaces")
    if "cannot start any token" in problem:
        return _said(f"`{at}` cannot start a plain value in YAML", line, column, "put quotes around the value")
    if "directive" in context:
        return _said("a line that starts with `%` is a YAML directive", line, 0, "put quotes around the text")
    if "alias" in context or "anchor" in context:
        sign, word = ("*", "an alias") if "alias" in context else ("&", "an anchor")
        hint = "put quotes around text that starts with it"
        return _said(f"`{sign}` starts {word} in YAML, and its name cannot be read", began.line, began.column, hint)
    if "tag" in problem or "tag" in context:
        return (
            "tag",
            "`!` starts a YAML tag, and tags are not used here",
            line + 1,
            column + 1,
            "put quotes around text that starts with it",
        )
    if "block scalar" in context:
        sign = lines[began.line][began.column : began.column + 1]
        hint = "put quotes around the value, or begin the text on the next line"
        return _said(
            f"`{sign}` starts a block of text in YAML, and nothing may follow it on its line", began.line, began.column, hint
        )
    if "flow sequence" in context or "flow mapping" in context:
        return _flow(context, lines, line, column, began)
    if "expected ':'" in problem:
        return _said(
            "this line is not a key with a value, nor a list item", began.line, began.column, "a colon may be missing, or quotes"
        )
    return _block(problem, text, line, column, at)


def _block(problem: str, text: str, line: int, column: int, at: str) -> Said:
    if "mapping values are not allowed" in problem:
        if _KEYED.match(text[:column]):
            return _said(
                "this value contains ': ', which YAML reads as another key", line, column, "put quotes around the whole value"
            )
        hint = "indent it like the line above, or end the line above with a colon"
        return _said("a key cannot stand here: the line above is not a key with an open value", line, column, hint)
    if "block sequence entries" in problem:
        return _said("a list cannot begin on the line of its key", line, column, "begin it on the next line, or write [a, b]")
    if "expected key" in problem or "expected '-'" in problem or "block end" in problem:
        if _QUOTE_THEN.search(text[:column]):
            hint = "put the whole value in quotes: single ones around it where it contains double ones"
            return _said("text follows a closing quote", line, column, hint)
        if at == "-" and "expected key" in problem:
            return _said("a list item cannot stand here, among keys", line, column, "indent it below the key it belongs to")
        if "expected '-'" in problem:
            return _said("a key cannot stand here, among list items", line, column, "check the indentation of this line")
        return _said("the indentation of this line fits nothing above it", line, column, "indent it like the keys it belongs with")
    if "node content" in problem:
        return _said(
            f"a value is expected here, but there is `{at}`" if at else "a value is expected here",
            line,
            column,
            "put text in quotes",
        )
    return _said(f"YAML cannot read this: {problem}", line, column, None)


def _flow(context: str, lines: Sequence[str], line: int, column: int, began: Any) -> Said:
    opening, closing, sort = ("[", "]", "list") if "sequence" in context else ("{", "}", "mapping")
    if line != began.line:
        hint = f"close it with `{closing}`, or put a comma between its parts"
        return _said(f"the {sort} that `{opening}` begins here is not closed", began.line, began.column, hint)
    text = lines[line] if line < len(lines) else ""
    if column >= len(text):
        return _said(
            f"the {sort} that `{opening}` begins here is not closed", began.line, began.column, f"close it with `{closing}`"
        )
    hint = "separate the parts with commas, and put quotes around text that contains brackets, braces, commas or quotes"
    return _said(f"`,` or `{closing}` is expected here", line, column, hint)


def _braces(context: str, problem: str, lines: Sequence[str], line: int, began: Any) -> Said | None:
    """``{{ x }}`` unquoted, or ``${{ x }}`` unquoted inside [ ] or { }."""
    if not ("flow" in context or "expected key" in problem):
        return None
    for number in dict.fromkeys((line, began.line if began else line)):
        found = re.search(r"\$?\{\{", lines[number]) if number < len(lines) else None
        if found is None:
            continue
        if found[0] == "{{":
            return _said(BRACES[0], number, found.start(), BRACES[1])
        if "flow" in context:
            hint = 'put quotes around the value: "${{ var.name }}"'
            return _said(
                "inside [ ] or { } a reference needs quotes, or YAML reads its `{` as a mapping", number, found.start(), hint
            )
    return None


def _said(message: str, line: int, column: int, hint: str | None) -> Said:
    return "yaml", message, line + 1, column + 1, hint
