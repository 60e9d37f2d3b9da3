"""A configuration file as data, with the place of every value and key: YAML 1.2 scalars, limits, no surprises.

The text is read as a stream of libyaml events, so that nothing is built, expanded or recursed into before it was counted.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from probes.core.composer import Composer, Node, Path, Style
from probes.core.diagnostics import Problem, dotted, in_order, split
from probes.core.diagnostics import Rejected as Rejected  # noqa: PLC0414 - read() raises it: callers take both from here
from probes.core.offsets import skip

BYTES: Final = 1024 * 1024

_HIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_NOTE = re.compile(r"[ \t]+#[^\"']*$")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written; line and column count characters from 1."""

    file: str
    line: int
    column: int


class Source:
    """One configuration file: ``data`` (plain values) and where each of them is written.

    A path is a tuple of keys and list indexes, such as ``("checks", "quote", "must", 1)``. A path that is not in the file
    has the place of its nearest parent that is.
    """

    def __init__(self, file: str, text: str, root: Node) -> None:
        self.file = file
        self.text = text
        self.lines = split(text)  # for probes.core.diagnostics.render
        self.data: dict[str, Any] = root.value
        self._root = root
        self._starts: list[int] | None = None

    def line(self, number: int) -> str:
        """The text of one line, counted from 1."""
        return self.lines[number - 1]

    def place(self, path: Path) -> Place:
        """Where the value at ``path`` begins."""
        node = self._node(path)
        return self._place(node.line, node.column)

    def key(self, path: Path) -> Place:
        """Where the key of ``path`` is written; for a list item, its value."""
        if not path:
            return self.place(path)
        parent = self._node(path[:-1])
        mark = parent.keys.get(path[-1]) if parent.keys is not None and isinstance(path[-1], str) else None
        return self._place(*mark) if mark else self.place(path)

    def style(self, path: Path) -> Style:
        """How the value at ``path`` is written."""
        return self._node(path).style

    def column_in(self, path: Path, offset: int) -> Place:
        """Where the character ``offset`` (from 0) of the text value at ``path`` is written, through quotes, escapes and folds."""
        node = self._node(path)
        at = skip(self.text[node.start : node.end], offset) + node.start if isinstance(node.value, str) else node.start
        if self._starts is None:
            self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", self.text))]
        line = bisect_right(self._starts, at)
        return Place(self.file, line, at - self._starts[line - 1] + 1)

    def trap(self, path: Path) -> Problem | None:
        """How YAML misread the line of text at ``path``: as a mapping (``: ``), or as cut inside its quotes (`` #``)."""
        node = self._node(path)
        if node.style == "mapping" and not self.text.startswith("{", node.start):
            line = _NOTE.sub("", split(self.text[node.start : node.end])[0]).rstrip(" \t,")
            if len(node.value) != 1 or ": " not in line:
                return None
            message, code, column = "YAML read this line as a mapping because it contains ': '", "mapping-line", node.column
        elif node.style == "plain":
            line = split(self.text[node.start :])[0].rstrip()
            comment = re.match(r"[ \t]+#", line[node.end - node.start :])
            quote = next((quote for quote in "\"'" if str(node.value).count(quote) % 2), None)
            if comment is None or quote is None:
                return None
            line = line[: line.rfind(quote) + 1]
            message = "YAML took the end of this line for a comment because it contains ' #'"
            code, column = "comment-line", node.column + node.end - node.start + comment.end() - 1
        else:
            return None
        hint = "put single quotes around the whole line: '" + line.replace("'", "''") + "'"
        return Problem(code, message, self.file, node.line, column, dotted(path), hint)

    def _place(self, line: int, column: int) -> Place:
        if line > len(self.lines):  # libyaml may put what is empty at the end below the last line
            return Place(self.file, len(self.lines), len(self.lines[-1]) + 1)
        return Place(self.file, line, column)

    def _node(self, path: Path) -> Node:
        node = self._root
        for part in path:
            child: Node | None = None
            if isinstance(node.children, dict) and isinstance(part, str):
                child = node.children.get(part)
            elif isinstance(node.children, list) and isinstance(part, int) and 0 <= part < len(node.children):
                child = node.children[part]
            if child is None:
                break
            node = child
        return node


def read(text: str | bytes, file: str) -> Source:
    """The file's data and places. Raises :class:`Rejected` with every problem that could be found."""
    source, problems = scan(text, file)
    if problems or source is None:
        raise Rejected(problems)
    return source


def scan(text: str | bytes, file: str) -> tuple[Source | None, tuple[Problem, ...]]:
    """What :func:`read` finds, without raising: the data is there for further checks unless it cannot be trusted at all."""
    if len(text) > BYTES or (isinstance(text, str) and len(text.encode("utf-8", "replace")) > BYTES):
        hint = "split it into several files and name them under `include`"
        return None, (Problem("too-large", "a configuration file may be 1 MB, and this one is larger", file, hint=hint),)
    if isinstance(text, bytes):
        raw = text
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            before = split(raw[: error.start].decode("utf-8"))
            message = f"byte 0x{raw[error.start]:02x} is not UTF-8"
            problem = Problem("encoding", message, file, len(before), len(before[-1]) + 1, hint="save the file as UTF-8")
            return None, (problem,)
    text = text.removeprefix("\ufeff")
    hidden = tuple(_hidden(text, file))
    if hidden:
        return None, hidden
    composer = Composer(text, file)
    root = composer.compose()
    return Source(file, text, root) if root is not None else None, in_order(composer.problems)


def _hidden(text: str, file: str) -> Iterator[Problem]:
    for match, _ in zip(_HIDDEN.finditer(text), range(20), strict=False):
        before = split(text[: match.start()])
        code = ord(match[0])
        name = "half of a surrogate pair" if 0xD800 <= code < 0xE000 else "a control character that cannot be seen"
        hint = "delete it; in double quotes it can be written as an escape"
        yield Problem("encoding", f"U+{code:04X} is {name}", file, len(before), len(before[-1]) + 1, hint=hint)
