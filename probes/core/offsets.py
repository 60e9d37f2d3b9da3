"""From an offset inside a YAML text value to the character of the file that wrote it."""

from __future__ import annotations

import re

_FOLD = re.compile(r"[ \t]*(?:\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))*[ \t]*")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
_ESCAPES = {"x": 4, "u": 6, "U": 10}


def skip(raw: str, offset: int) -> int:
    """How many characters of ``raw`` (a scalar as written) come before character ``offset`` of its value.

    Exact for one line and for literal blocks; close for folded text.
    """
    if raw[:1] in ("|", ">"):
        return _block(raw, offset)
    quote = raw[:1] if raw[:1] in ("'", '"') else ""
    at = len(quote)
    while offset > 0 and at < len(raw):
        fold = _FOLD.match(raw, at) if raw[at] in " \t\r\n" else None
        if fold:
            breaks = len(re.findall(r"\r\n|\r|\n", fold[0]))
            offset -= max(1, breaks - 1)
            at = fold.end()
        elif quote == '"' and raw[at] == "\\":
            broken = _FOLD.match(raw, at + 1) if raw[at + 1 : at + 2] in ("\r", "\n") else None
            at = broken.end() if broken else at + _ESCAPES.get(raw[at + 1 : at + 2], 2)
            offset -= 0 if broken else 1
        else:
            at += 2 if quote == "'" and raw.startswith("''", at) else 1
            offset -= 1
    return min(at, len(raw))


def _block(raw: str, offset: int) -> int:
    """A block scalar: a header line, then lines whose common indentation is not part of the value."""
    header = _LINE.match(raw)
    at = header.end() if header else 0
    indent = None
    while at < len(raw):
        line = _LINE.match(raw, at)
        if line is None or line.end() == at:
            break
        content = line[0].rstrip("\r\n")
        if indent is None and content.strip():
            indent = len(content) - len(content.lstrip(" "))
        body = len(content) - (indent or 0)
        if body < 0 or offset > body:
            offset -= max(body, 0) + 1
            at = line.end()
            continue
        return at + (indent or 0) + offset
    return min(at, len(raw))
