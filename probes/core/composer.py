"""From the events of a YAML parser to values with their places, counted before anything is built, expanded or recursed into."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Literal

import yaml

from probes.core.diagnostics import Problem, did_you_mean, dotted, split
from probes.core.mistakes import BRACES, explain
from probes.core.scalars import plain

LEVELS: Final = 64
VALUES: Final = 100_000  # after alias expansion
PROBLEMS: Final = 100  # nobody reads more, and a hostile file could hold as many as it has lines

Path = tuple[str | int, ...]
Style = Literal["plain", "quoted", "block", "mapping", "list"]

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is three times as quick
_ANCHOR = re.compile(r"&\S+[ \t]+(?=[^\s#])")
_STYLES: Final[dict[str | None, Style]] = {"'": "quoted", '"': "quoted", "|": "block", ">": "block"}


class Node:
    """A value with its place; ``count`` and ``height`` are those of everything in it, aliases written out."""

    __slots__ = ("children", "column", "count", "end", "height", "keys", "line", "start", "style", "value")

    def __init__(self, value: Any, style: Style, at: tuple[int, int], span: tuple[int, int]) -> None:
        self.value, self.style = value, style
        self.line, self.column = at
        self.start, self.end = span
        self.count, self.height = 1, 1
        self.children: dict[str, Node] | list[Node] | None = None
        self.keys: dict[str, tuple[int, int]] | None = None


class _Frame:
    """A mapping or list that is being read. ``key`` is the key whose value is awaited; ``refused`` that it is not kept."""

    __slots__ = ("anchor", "key", "merges", "node", "refused")

    def __init__(self, node: Node, anchor: str | None) -> None:
        self.node, self.anchor = node, anchor
        self.key: tuple[str, int, int] | None = None
        self.refused = False
        self.merges: list[Node] = []


class _Stop(Exception):
    """The rest cannot be read, or must not be."""


class Composer:
    """Composes values from the events of libyaml. Problems that leave the rest readable are collected; the others stop it."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.problems: list[Problem] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, Node | None] = {}  # None while the anchored value is still being read
        self._values = 0
        self._root: Node | None = None

    def compose(self) -> Node | None:
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

    def _checked(self) -> Node | None:
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
            node = Node(value, style, (line, column), (start, end))
            self._count(1, 1, event)
            if event.anchor:
                self._anchors[event.anchor] = node
            self._attach(node, event)
            return
        self._count(1, 1, event)
        if isinstance(event, yaml.MappingStartEvent):
            node = Node({}, "mapping", (line, column), (start, start))
            node.children, node.keys = {}, {}
        else:
            node = Node([], "list", (line, column), (start, start))
            node.children = []
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(_Frame(node, event.anchor))

    def _alias(self, event: Any) -> Node:
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
        node = Node(target.value, target.style, (mark.line + 1, mark.column + 1), (target.start, target.end))
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

    def _attach(self, node: Node, event: Any) -> None:
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

    def _key(self, frame: _Frame, node: Node, event: Any) -> None:
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
        try:
            return plain(event.value)
        except ValueError as error:
            self._problem("value", str(error), event, f'put quotes around it if it is text: "{event.value[:40]}"')
            return None

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
