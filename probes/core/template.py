"""References ``${{ root.path }}`` in values: found with columns, filled once, never recursively.

Four roots: ``var.<name>``, ``secret.<name>``, ``step.<id>.<name>`` and ``run.<name>``. A literal ``${{`` is written ``$${{``.

Filling may happen in passes (variables at load, secrets and captures by the run): a pass that keeps some roots leaves ``$${{``
as it is and escapes what it inserts, so that no inserted text ever becomes a reference; a pass that keeps none ends the escapes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from probes.core.diagnostics import did_you_mean, printable
from probes.core.secret import Secret

ROOTS: Final = {"var": 1, "secret": 1, "step": 2, "run": 1}  # root to the number of names that follow it
ROOM: Final = 4 * 1024 * 1024  # characters that may be inserted: a long variable named often would fill the memory
LEVELS: Final = 64  # nesting of data, as in probes.core.source
_OPEN = re.compile(r"(\$?)\$\{\{")
_BODY = re.compile(r"[ \t]*([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)[ \t]*\}\}")
_EXAMPLES: Final = {
    "var": "${{ var.name }}",
    "secret": "${{ secret.NAME }}",
    "step": "${{ step.login.token }}",
    "run": "${{ run.id }}",
}


class TemplateError(Exception):
    """A reference that cannot be read or filled.

    Attributes:
        message, hint: for the person.
        column: offset (from 0) in the text that holds the reference.
        code: the code of the problem.
        path: where the text is in the data given to :func:`fill`.
    """

    def __init__(self, message: str, column: int, hint: str | None = None, *, code: str = "template") -> None:
        super().__init__(message)
        self.message, self.column, self.hint, self.code = message, column, hint, code
        self.path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """One ``${{ root.path }}`` at ``text[start:end]``; ``path`` is ``api``, ``login.token``."""

    root: str
    path: str
    start: int
    end: int

    @property
    def names(self) -> tuple[str, ...]:
        """The parts of ``path``."""
        return tuple(self.path.split("."))


@dataclass(slots=True)
class Room:
    """How many characters may still be inserted; one for several fills bounds them together."""

    left: int = ROOM


def references(text: str) -> list[Reference]:
    """The references in ``text``, from left to right. Raises :class:`TemplateError` at the first that cannot be read."""
    found: list[Reference] = []
    at = 0
    while opening := _OPEN.search(text, at):
        at = opening.end()
        if not opening[1]:
            found.append(_reference(text, opening.start(), at))
            at = found[-1].end
    return found


def fill(data: Any, scope: Mapping[str, Any], keep: Collection[str] = (), room: Room | None = None) -> Any:
    """``data`` (JSON values) with the references of its texts filled from ``scope``; keys are never touched.

    A text that is exactly one reference becomes the value, with its type; inside longer text a value is inserted as text
    (numbers as written, true, false and null as in JSON; a list or mapping is refused). A :class:`~probes.core.secret.Secret`
    is revealed: the caller scrubs what leaves.

    Args:
        data: nested mappings, lists and scalars.
        scope: ``{"var": {"api": ...}, "step": {"login": {"token": ...}}}``.
        keep: roots whose references stay as they are, for a later pass.
        room: what may be inserted, shared by the fills it is given to; one of its own when there is none.

    Raises:
        TemplateError: a reference that cannot be read, or names nothing in the scope; its ``path`` says where in the data.
    """
    return _Filler(scope, keep, room or Room()).fill(data, ())


def _reference(text: str, start: int, inside: int) -> Reference:
    body = _BODY.match(text, inside)
    if body is None:
        close, newline = text.find("}}", inside), text.find("\n", inside)
        if close < 0 or 0 <= newline < close:
            raise TemplateError("this `${{` is never closed", start, "close it with }}, or write $${{ for a literal ${{")
        written = text[inside:close].strip()
        if not written:
            raise TemplateError("this reference is empty", start, f"write {_EXAMPLES['var']}")
        hint = "a reference is a root and names with dots, nothing is computed: " + ", ".join(_EXAMPLES.values())
        raise TemplateError(f"`{_short(written)}` is not a reference", start, hint)
    root, *path = body[1].split(".")
    if root not in ROOTS:
        hint = did_you_mean(root, ROOTS) or f"the roots are {', '.join(ROOTS)}: write ${{{{ var.{_short(root)} }}}} for a variable"
        raise TemplateError(f"there is no root `{_short(root)}`", start, hint)
    if len(path) != ROOTS[root]:
        takes = "one name follows" if ROOTS[root] == 1 else "a step's id and a name follow"
        raise TemplateError(f"`{_short(body[1])}` is not a reference: {takes} `{root}`", start, f"write {_EXAMPLES[root]}")
    return Reference(root, ".".join(path), start, body.end())


def _openings(pieces: list[str]) -> list[int]:
    """Where in the joined pieces each `${{` and `$${{` of one of them starts."""
    found, offset = [], 0
    for piece in pieces:
        found += [offset + opening.start() for opening in _OPEN.finditer(piece)]
        offset += len(piece)
    return found


class _Filler:
    """One filling: the scope, the roots to keep and the room that is left."""

    def __init__(self, scope: Mapping[str, Any], keep: Collection[str], room: Room) -> None:
        self._scope, self._keep, self._room = scope, frozenset(keep), room

    def fill(self, data: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(data, str):
            if "${{" not in data:
                return data
            try:
                return self._text(data)
            except TemplateError as error:
                error.path = path
                raise
        if len(path) > LEVELS:
            deep = TemplateError(f"the data is nested more than {LEVELS} levels deep", 0, code="too-deep")
            deep.path = path
            raise deep
        if isinstance(data, Mapping):
            return {key: self.fill(value, (*path, key)) for key, value in data.items()}
        if isinstance(data, (list, tuple)):
            return [self.fill(value, (*path, index)) for index, value in enumerate(data)]
        return data

    def _text(self, text: str) -> Any:
        found = references(text)
        if len(found) == 1 and (found[0].start, found[0].end) == (0, len(text)):
            return text if found[0].root in self._keep else self._inserted(self._value(found[0]), found[0].start, LEVELS)
        pieces, at = [], 0
        for reference in found:
            pieces.append(self._literal(text[at : reference.start]))
            if reference.root in self._keep:
                pieces.append(text[reference.start : reference.end])
            else:
                pieces.append(self._inserted(self._worded(self._value(reference), reference), reference.start, LEVELS))
            at = reference.end
        pieces.append(self._literal(text[at:]))
        filled = "".join(pieces)
        if self._keep and _openings([filled]) != _openings(pieces):
            # What was inserted and what stands beside it would be one reference to the next pass, as in "US$" before "{{".
            raise TemplateError("an inserted value and the text beside it make `${{`", 0, "put another character between them")
        return filled

    def _literal(self, text: str) -> str:
        return text if self._keep else text.replace("$${{", "${{")

    def _value(self, reference: Reference) -> Any:
        value: Any = self._scope.get(reference.root)
        if value is None:
            raise TemplateError(f"`{reference.root}` cannot be used here", reference.start)
        for depth, name in enumerate(reference.names):
            if not isinstance(value, Mapping) or name not in value:
                code, sort = _UNKNOWN[reference.root]
                near = did_you_mean(name, value) if isinstance(value, Mapping) else None
                where = f" in step `{reference.names[0]}`" if depth else ""
                raise TemplateError(f"there is no {sort[depth]} `{_short(name)}`{where}", reference.start, near, code=code)
            value = value[name]
        return value.reveal() if isinstance(value, Secret) else value

    def _worded(self, value: Any, reference: Reference) -> str:
        """A scalar as it stands inside text."""
        if isinstance(value, str):
            return value
        if value is None or isinstance(value, bool):
            return {None: "null", True: "true", False: "false"}[value]
        if isinstance(value, (Mapping, list, tuple)):
            sort = "mapping" if isinstance(value, Mapping) else "list"
            message = f"`{reference.root}.{reference.path}` is a {sort}, which cannot stand inside text"
            raise TemplateError(message, reference.start, "let the reference be the whole value")
        return str(value)

    def _inserted(self, value: Any, column: int, levels: int) -> Any:
        """The value, paid for, and escaped where another pass will follow."""
        if isinstance(value, Secret):
            value = value.reveal()
        self._room.left -= len(value) if isinstance(value, str) else 1
        if self._room.left < 0:
            raise TemplateError(f"the references insert more than {ROOM:,} characters", column, code="limit")
        if not self._keep or isinstance(value, (bool, int, float)) or value is None:
            return value
        if isinstance(value, str):
            return value.replace("${{", "$${{")
        if levels == 0:
            raise TemplateError(f"the value is nested more than {LEVELS} levels deep", column, code="too-deep")
        if isinstance(value, Mapping):
            return {key: self._inserted(part, column, levels - 1) for key, part in value.items()}
        return [self._inserted(part, column, levels - 1) for part in value]


_UNKNOWN: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "var": ("unknown-variable", ("variable",)),
    "secret": ("unknown-secret", ("secret",)),
    "step": ("unknown-step", ("step", "captured value")),
    "run": ("template", ("fact of the run",)),
}


def _short(text: str) -> str:
    return printable(text if len(text) <= 60 else text[:59] + "…")
