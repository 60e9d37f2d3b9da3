"""checks.yaml and what it includes, read, typed and cross-checked in one pass.

``load`` returns a :class:`~probes.core.written.Spec` or raises :class:`~probes.core.diagnostics.Rejected` with every problem at
once, in file order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from probes.core.crosscheck import crosscheck
from probes.core.diagnostics import Problem, Rejected
from probes.core.kind import Kind, Shape
from probes.core.reading import Reader
from probes.core.sections import Sections
from probes.core.source import scan
from probes.core.written import Spec

MOST_DEPTH: Final = 8

Include = Callable[[str, str], Iterable[tuple[str, str]]]
"""``include(pattern, file)``: (name, text) of each file that ``pattern``, written in ``file``, names; ValueError says why not."""


def load(
    text: str,
    kinds: Mapping[str, Kind],
    *,
    channels: Mapping[str, type[Shape]] | None = None,
    file: str = "checks.yaml",
    include: Include | None = None,
    variables: Mapping[str, str] | None = None,
) -> Spec:
    """Read a configuration.

    Args:
        text: the content of the first file.
        file: what messages call it.
        kinds: kinds by YAML key; only those that are named are looked up (and so imported).
        channels: configuration shapes of channels by YAML key.
        include: finds included files; None refuses ``include``.
        variables: values given on the command line; they win over ``variables:``.

    Raises:
        Rejected: with every problem, warnings included.
    """
    problems: list[Problem] = []
    readers = _files(text, file, include, problems)
    spec = Spec()
    sections = Sections(spec, kinds, channels or {})
    for reader in readers:
        sections.names(reader)
    _override(spec, readers, variables or {})
    for number, reader in enumerate(readers):
        sections.read(reader, first=number == 0)
    if readers:
        crosscheck(spec, readers)
    order = {reader.source.file: number for number, reader in enumerate(readers)}
    problems.sort(key=lambda problem: (order.get(problem.file, -1), problem.line, problem.column))
    if any(problem.severity == "error" for problem in problems):
        raise Rejected(problems)
    spec.warnings = tuple(problems)
    return spec


def _files(text: str, file: str, include: Include | None, problems: list[Problem]) -> list[Reader]:
    """A reader for the first file and for each included one, in order; a file that cannot be read leaves its problems."""
    readers: list[Reader] = []
    waiting = [(file, text, 0)]
    seen = {file}
    while waiting:
        name, content, depth = waiting.pop(0)
        source, found_wrong = scan(content, name)
        problems.extend(found_wrong)
        if source is None:
            continue
        reader = Reader(source, problems)
        readers.append(reader)
        for found, more in _included(reader, include, depth):
            if found not in seen:
                seen.add(found)
                waiting.append((found, more, depth + 1))
    return readers


def _included(reader: Reader, include: Include | None, depth: int) -> Iterable[tuple[str, str]]:
    patterns = reader.source.data.get("include", [])
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        reader.complain("type", "`include` is a list of file names or patterns", ("include",))
        return
    for number, pattern in enumerate(patterns):
        path = ("include", number)
        if include is None:
            reader.complain("include", "files cannot be included here", path)
        elif depth >= MOST_DEPTH:
            reader.complain("include", f"files include each other more than {MOST_DEPTH} deep", path)
        else:
            try:
                yield from list(include(pattern, reader.source.file))
            except ValueError as error:
                reader.complain("include", str(error), path)


def _override(spec: Spec, readers: list[Reader], given: Mapping[str, str]) -> None:
    for name, text in given.items():
        if readers and name not in spec.variables:
            readers[0].unknown_name("variable", name, spec.variables, ("variables",))
        else:
            spec.variables[name] = _like(spec.variables.get(name), text)


def _like(default: Any, text: str) -> Any:
    """``text`` from the command line in the type of the variable's own value, when it can be read as that."""
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text, text)
    if isinstance(default, int) and re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    if isinstance(default, float) and re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text)
    return text
