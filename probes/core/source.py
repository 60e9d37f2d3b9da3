"""A configuration file as data, with the place of every value and key: YAML 1.2 scalars, limits, no surprises.

The text is read as a stream of libyaml events, so that nothing is built, expanded or recursed into before it was counted.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import yaml

from probes.core.diagnostics import Problem, did_you_mean, dotted, in_order, split
from probes.core.diagnostics import Rejected as Rejected  # noqa: PLC0414 - read() raises it: callers take both from here
from probes.core.mistakes import BRACES, explain
from probes.core.offsets import skip

BYTES: Final = 1024 * 1024
LEVELS: Final = 64
VALUES: Final = 100_000  # after alias expansion
PROBLEMS: Final = 100  # nobody reads more, and a hostile file could hold as many as it has lines

Path = tuple[str | int, ...]
Style = Literal["plain", "quoted", "block", "mapping", "list"]

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is three times as quick
_HIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_NOTE = re.compile(r"[ \t]+#[^\"']*$")
_ANCHOR = re.compile(r"&\S+[ \t]+(?=[^\s#])")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_STRANGE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_STYLES: Final[dict[str | None, Style]] = {"'": "quoted", '"': "quoted", "|": "block", ">": "block"}


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

    def __init__(self, file: str, text: str, root: _Node) -> None:
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

    def _node(self, path: Path) -> _Node:
        node = self._root
        for part in path:
            child: _Node | None = None
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
    builder = _Builder(text, file)
    root = builder.build()
    return Source(file, text, root) if root is not None else None, in_order(builder.problems)


def _hidden(text: str, file: str) -> Iterator[Problem]:
    for match, _ in zip(_HIDDEN.finditer(text), range(20), strict=False):
        before = split(text[: match.start()])
        code = ord(match[0])
        name = "half of a surrogate pair" if 0xD800 <= code < 0xE000 else "a control character that cannot be seen"
        hint = "delete it; in double quotes it can be written as an escape"
        yield Problem("encoding", f"U+{code:04X} is {name}", file, len(before), len(before[-1]) + 1, hint=hint)


class _Node:
    """A value with its place; ``count`` and ``height`` are those of everything in it, aliases written out."""

    __slots__ = ("children", "column", "count", "end", "height", "keys", "line", "start", "style", "value")

    def __init__(self, value: Any, style: Style, at: tuple[int, int], span: tuple[int, int]) -> None:
        self.value, self.style = value, style
        self.line, self.column = at
        self.start, self.end = span
        self.count, self.height = 1, 1
        self.children: dict[str, _Node] | list[_Node] | None = None
        self.keys: dict[str, tuple[int, int]] | None = None


class _Frame:
    """A mapping or list that is being read. ``key`` is the key whose value is awaited; ``refused`` that it is not kept."""

    __slots__ = ("anchor", "key", "merges", "node", "refused")

    def __init__(self, node: _Node, anchor: str | None) -> None:
        self.node, self.anchor = node, anchor
        self.key: tuple[str, int, int] | None = None
        self.refused = False
        self.merges: list[_Node] = []


class _Stop(Exception):
    """The rest cannot be read, or must not be."""


class _Builder:
    """Builds values from events. Problems that leave the rest readable are collected; the others stop it."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.problems: list[Problem] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Node | None] = {}  # None while the anchored value is still being read
        self._values = 0
        self._root: _Node | None = None

    def build(self) -> _Node | None:
        """The root, or None when the data cannot be trusted; then a problem says why."""
        documents = 0
        try:
            events: Iterator[Any] = yaml.parse(self.text, Loader=_LOADER)
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._problem("yaml", "a second document begins here, and a file is one", event, "remove the line `---`")
                        break
                else:
                    self._event(event)
        except yaml.MarkedYAMLError as error:
            lines = split(self.text)
            code, message, line, column, hint = explain(error, lines)
            if line > len(lines):
                line, column = len(lines), len(lines[-1]) + 1
            self.problems = [problem for problem in self.problems if (problem.line, problem.column) != (line, column)]
            self.problems.append(Problem(code, message, self.file, line, column, dotted(self._path()), hint))
            return None
        except _Stop:
            return None
        return self._checked()

    def _checked(self) -> _Node | None:
        root = self._root
        if root is None or (root.value is None and root.style == "plain"):
            hint = "write `version: 1` and `checks:`, or run `probes init`"
            self.problems.append(Problem("empty", "the file says nothing", self.file, hint=hint))
            return None
        if root.style != "mapping":
            found = "a list" if root.style == "list" else "one value"
            message = f"a configuration is a mapping of keys such as `checks:`, but this file is {found}"
            self.problems.append(Problem("type", message, self.file, root.line, root.column))
            return None
        return root

    def _event(self, event: Any) -> None:
        if isinstance(event, yaml.CollectionEndEvent):
            frame, mark = self._stack.pop(), event.start_mark
            frame.node.end = mark.index if mark else frame.node.start
            self._merge(frame)
            if frame.anchor:
                self._anchors[frame.anchor] = frame.node
            self._attach(frame.node, event)
        elif isinstance(event, yaml.AliasEvent):
            self._attach(self._alias(event), event)
        elif isinstance(event, yaml.NodeEvent):
            self._begin(event)

    def _begin(self, event: Any) -> None:
        if event.tag is not None:
            self._problem(
                "tag", f"tags are not used here, but this value has `{event.tag[:80]}`", event, "put text in quotes instead"
            )
        mark = event.start_mark
        line, column, start = mark.line + 1, mark.column + 1, mark.index
        end: int = event.end_mark.index
        if event.anchor:
            anchored = _ANCHOR.match(self.text, start)
            if anchored:
                column, start = column + anchored.end() - start, anchored.end()
        if isinstance(event, yaml.ScalarEvent):
            style = _STYLES.get(event.style, "plain")
            value = self._plain(event) if style == "plain" else event.value
            node = _Node(value, style, (line, column), (start, end))
            self._count(1, 1, event)
            if event.anchor:
                self._anchors[event.anchor] = node
            self._attach(node, event)
            return
        self._count(1, 1, event)
        if isinstance(event, yaml.MappingStartEvent):
            node = _Node({}, "mapping", (line, column), (start, start))
            node.children, node.keys = {}, {}
        else:
            node = _Node([], "list", (line, column), (start, start))
            node.children = []
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(_Frame(node, event.anchor))

    def _alias(self, event: Any) -> _Node:
        target = self._anchors.get(event.anchor)
        if target is None:
            if event.anchor in self._anchors:
                self._problem("alias-loop", f"`*{event.anchor}` stands inside the value it points to", event)
                raise _Stop
            hint = did_you_mean(event.anchor, self._anchors) or f"put quotes around text that starts with *: '*{event.anchor}'"
            self._problem("yaml", f"there is no anchor `&{event.anchor}` above this line", event, hint)
            raise _Stop
        self._count(target.count, target.height, event)
        mark = event.start_mark
        node = _Node(target.value, target.style, (mark.line + 1, mark.column + 1), (target.start, target.end))
        node.children, node.keys, node.count, node.height = target.children, target.keys, target.count, target.height
        return node

    def _count(self, values: int, height: int, event: Any) -> None:
        self._values += values
        if self._values > VALUES:
            self._problem("too-many-values", f"the file holds more than {VALUES:,} values (aliases written out)", event)
            raise _Stop
        if len(self._stack) + height > LEVELS:
            self._problem("too-deep", f"this is nested more than {LEVELS} levels deep", event)
            raise _Stop

    def _attach(self, node: _Node, event: Any) -> None:
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        parent = frame.node
        if isinstance(parent.children, list):
            parent.children.append(node)
            parent.value.append(node.value)
        elif frame.key is None:
            self._key(frame, node, event)
            return
        else:
            (name, line, column), frame.key = frame.key, None
            if name == "<<" and frame.refused:
                frame.merges.append(node)
            elif not frame.refused and parent.children is not None and parent.keys is not None:
                parent.children[name], parent.keys[name], parent.value[name] = node, (line, column), node.value
        parent.count += node.count
        parent.height = max(parent.height, node.height + 1)

    def _key(self, frame: _Frame, node: _Node, event: Any) -> None:
        name, frame.refused = node.value, False
        line, column = node.line, node.column
        if node.style in ("mapping", "list"):
            frame.refused, name = True, "?"
            if self.text.startswith("{{", node.start - 1):
                self._say("yaml", BRACES[0], line, column - 1, BRACES[1])
            else:
                self._say(
                    "not-text-key", f"a key must be text, but this one is a {node.style}", line, column, "put quotes around it"
                )
        elif name == "<<" and node.style == "plain":
            frame.refused = True
        elif not isinstance(name, str):
            raw = self.text[node.start : node.end]
            sort = "empty" if not raw else "null" if name is None else "a boolean" if isinstance(name, bool) else "a number"
            self._say(
                "not-text-key",
                f"a key must be text, but `{raw[:40]}` is {sort}",
                line,
                column,
                f'put quotes around it: "{raw[:40]}"',
            )
            name = raw
        if not frame.refused and frame.node.keys is not None and name in frame.node.keys:
            first, _ = frame.node.keys[name]
            where = f"on line {first}" if first != line else f"earlier on line {line}"
            hint = f"keep one of lines {first} and {line}, or rename one" if first != line else "keep one of the two, or rename one"
            self._say("duplicate-key", f"the key `{name[:80]}` is written twice: {where} and here", line, column, hint, name)
        frame.key = (name, line, column)

    def _merge(self, frame: _Frame) -> None:
        """Take the keys of ``<<`` that the mapping does not say itself; of several, the first wins."""
        node = frame.node
        for merge in frame.merges:
            parts = merge.children if isinstance(merge.children, list) else [merge]
            for part in parts:
                if not isinstance(part.children, dict) or part.keys is None or isinstance(node.children, list):
                    hint = "write `<<: *name`, or `<<: [*one, *two]`"
                    self._say("type", "`<<` merges mappings, but this is not a mapping", part.line, part.column, hint)
                    continue
                for name, child in part.children.items():
                    if node.keys is not None and node.children is not None and name not in node.keys:
                        node.children[name], node.keys[name], node.value[name] = child, part.keys[name], child.value

    def _plain(self, event: Any) -> Any:
        """A plain scalar by the core schema of YAML 1.2 (section 10.3), except that numbers with leading zeros stay text."""
        text: str = event.value
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in "+-.0123456789":
            return text
        if _INTEGER.fullmatch(text):
            if len(text) > 30:
                self._problem("value", "a number may have 30 digits", event, "put quotes around it if it is text")
                return None
            return int(text, 0 if text[:2] in ("0o", "0x") else 10)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isfinite(number):
                return number
            self._problem("value", f"the number {text[:40]} is too large", event, "put quotes around it if it is text")
            return None
        if _STRANGE.fullmatch(text):
            self._problem(
                "value", f"`{text}` is not a number that can be used", event, f'put quotes around it if it is text: "{text}"'
            )
            return None
        return text

    def _problem(self, code: str, message: str, event: Any, hint: str | None = None) -> None:
        mark = event.start_mark
        self._say(code, message, mark.line + 1, mark.column + 1, hint)

    def _say(self, code: str, message: str, line: int, column: int, hint: str | None = None, *more: str) -> None:
        if len(self.problems) < PROBLEMS:
            self.problems.append(Problem(code, message, self.file, line, column, dotted((*self._path(), *more)), hint))

    def _path(self) -> Path:
        path: list[str | int] = []
        for frame in self._stack:
            if isinstance(frame.node.children, list):
                path.append(len(frame.node.children))
            elif frame.key is not None:
                path.append(frame.key[0])
        return tuple(path)
