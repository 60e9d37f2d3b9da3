"""One configuration file being read: every complaint gets its place, and all complaints are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from probes.core import expression, template
from probes.core.diagnostics import Problem, dotted, nearest
from probes.core.kind import Fact
from probes.core.source import Source

Path = tuple[str | int, ...]
MOST_GUESSES: Final = 100
MOST_PROBLEMS: Final = 1_000
MOST_LISTED: Final = 12
M = TypeVar("M", bound=BaseModel)

_TYPES = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "dict": "a mapping",
    "model": "a mapping",
    "tuple": "a list",
    "list": "a list",
}


class Reader:
    """Validates the data of one file; problems are collected in ``problems``, nothing is raised."""

    def __init__(self, source: Source, problems: list[Problem]) -> None:
        self.source = source
        self.problems = problems
        self.room = template.Room()
        self.used: set[tuple[str, str]] = set()
        """References met so far: ``("var", "api")``, ``("secret", "API_TOKEN")``."""

    def complain(
        self,
        code: str,
        message: str,
        path: Path,
        *,
        hint: str | None = None,
        column: int | None = None,
        key: bool = False,
        severity: Literal["error", "warning"] = "error",
        path_of: Path | None = None,
    ) -> None:
        """Add a problem at the value of ``path`` (``key``: at its key; ``column``: 0-based inside its text).

        ``path_of``: the path to show, where it is not the place that is pointed at.
        """
        if len(self.problems) > MOST_PROBLEMS:
            return
        known = self._known(path)
        if key:
            place = self.source.key(known)
        elif column is not None:
            place = self.source.column_in(known, column)
        else:
            place = self.source.place(known)
        if len(self.problems) == MOST_PROBLEMS:
            code, hint = "limit", "mend the first ones; many may have one cause"
            message = f"from here on there are more problems than the {MOST_PROBLEMS:,} that are told"
        if code == "type" and any((p.line, p.column) == (place.line, place.column) for p in self.problems if p.file == place.file):
            return  # what is wrong here has been said in better words
        self.problems.append(
            Problem(
                code=code,
                message=message,
                file=place.file,
                line=place.line,
                column=place.column,
                path=dotted(path_of if path_of is not None else known),
                hint=hint,
                severity=severity,
            )
        )

    def _known(self, path: Path) -> Path:
        """The parts of ``path`` that lead somewhere in the file: validators add parts of their own, short forms hide some."""
        known: list[str | int] = []
        node: Any = self.source.data
        for part in path:
            try:
                node = _inside(node, part)
            except LookupError:
                continue
            known.append(part)
        return tuple(known)

    def shape(self, model: type[M], data: Any, path: Path) -> M | None:
        """``data`` as ``model``, or None and problems at their places under ``path``."""
        if not isinstance(data, dict):
            found = "nothing" if data is None else f"{_worded(data)}"
            self.complain("type", f"`{path[-1]}` is a mapping of keys to values, but this is {found}", path)
            return None
        try:
            return model.model_validate(data, context={"written": True})  # secrets are still references
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                self._translate(model, problem, path)
            return None

    def _translate(self, model: type[BaseModel], error: Any, path: Path) -> None:
        location, kind, context = tuple(error["loc"]), error["type"], error.get("ctx") or {}
        where = (*path, *location)
        if kind == "extra_forbidden":
            self.unknown_key(where, _keys(model, location[:-1]))
        elif kind == "missing":
            self.complain("missing-key", f"`{location[-1]}` is missing", where[:-1], key=True)
        elif "message" in context:
            self.complain(kind, context["message"], where, hint=context.get("hint"), column=context.get("column"))
        elif kind == "value_error":
            self.complain("value", str(context.get("error", error["msg"])), where)
        elif kind.endswith("_type") and (wanted := _TYPES.get(kind.removesuffix("_type"))):
            self.complain("type", f"`{_last_name(where)}` is {wanted}, but this is {_worded(error['input'])}", where)
        elif kind == "literal_error":
            self.complain("value", f"`{_last_name(where)}` is one of {context['expected']}", where)
        else:
            message = error["msg"]
            self.complain("value", f"`{_last_name(where)}`: {message[:1].lower()}{message[1:]}", where)

    def unknown_key(self, path: Path, known: Collection[str]) -> None:
        """The complaint about a key that nothing reads."""
        guess = self._guess(str(path[-1]), known)
        hint = f"did you mean `{guess}`?" if guess else None
        self.complain("unknown-key", f"there is no key `{_shown(path[-1])}` here", path, key=True, hint=hint)

    def unknown_name(self, what: str, name: str, known: Collection[str], path: Path, *, column: int | None = None) -> None:
        """The complaint about a name that nothing declares: ``what`` is ``location``, ``group``, ``channel`` ..."""
        guess = self._guess(name, known)
        hint = (
            f"did you mean `{guess}`?"
            if guess
            else (f"known: {', '.join(sorted(known))}" if 0 < len(known) <= MOST_LISTED else None)
        )
        self.complain(f"unknown-{what}", f"there is no {what} `{_shown(name)}`", path, hint=hint, column=column)

    def _guess(self, word: str, known: Collection[str]) -> str | None:
        """What was probably meant; not for the thousandth mistake, since each guess compares with everything known."""
        return nearest(word, known) if len(self.problems) < MOST_GUESSES else None

    def assertions(self, lines: Any, facts: Mapping[str, Fact] | None, path: Path) -> Any:
        """The lines in canonical form, typed by ``facts``; each that cannot be is a problem at its column and left out."""
        if not isinstance(lines, list):
            return lines
        canonical = []
        for number, line in enumerate(lines):
            where = (*path, number)
            if isinstance(line, dict) and (trap := self.source.trap(where)):
                self.problems.append(trap)
            elif not isinstance(line, str):
                self.complain("type", f"an assertion is a line of text such as status == 200, but this is {_worded(line)}", where)
            elif "${{" in line:
                hint = "in steps, compare with step.<id>.<name>"
                self.complain("template", "an assertion takes no `${{ }}`", where, hint=hint, column=line.index("${{"))
            else:
                try:
                    canonical.append(str(expression.parse(line, facts)))
                except expression.ExpressionError as error:
                    if trap := self.source.trap(where):
                        self.problems.append(trap)
                    else:
                        self.complain(error.code, error.message, where, hint=error.hint, column=error.column)
        return canonical

    def fill(self, data: Any, path: Path, variables: Mapping[str, Any], roots: Mapping[str, Collection[str] | None]) -> Any:
        """``data`` with ``${{ var.x }}`` filled in. ``roots``: which other roots may stay, with the names known (None: any)."""
        if isinstance(data, str):
            return self._fill_text(data, path, variables, roots) if "${{" in data else data
        if isinstance(data, dict):
            return {key: self.fill(value, (*path, key), variables, roots) for key, value in data.items()}
        if isinstance(data, list):
            return [self.fill(value, (*path, number), variables, roots) for number, value in enumerate(data)]
        return data

    def _fill_text(self, text: str, path: Path, variables: Mapping[str, Any], roots: Mapping[str, Collection[str] | None]) -> Any:
        try:
            good = True
            for reference in template.references(text):
                good &= self._known_reference(reference, path, variables, roots)
            return template.fill(text, {"var": variables}, keep=("secret", "step", "run"), room=self.room) if good else text
        except template.TemplateError as error:
            self.complain("template", error.message, path, hint=error.hint, column=error.column)
            return text

    def _known_reference(
        self,
        reference: template.Reference,
        path: Path,
        variables: Mapping[str, Any],
        roots: Mapping[str, Collection[str] | None],
    ) -> bool:
        root, name = reference.root, reference.path.split(".")[0]
        self.used.add((root, name))
        if root == "var":
            if name not in variables:
                self.unknown_name("variable", name, variables, path, column=reference.start)
                return False
            return True
        if root not in roots:
            allowed = ", ".join(f"`{root}`" for root in ("var", *roots))
            self.complain("template", f"`{root}` cannot be used here", path, hint=f"here: {allowed}", column=reference.start)
            return False
        known = roots[root]
        if known is not None and name not in known:
            if root == "run":
                self.complain(
                    "template", f"a run has no `{_shown(name)}`", path, hint="it has id, at and location", column=reference.start
                )
            else:
                self.unknown_name(root, name, known, path, column=reference.start)
            return False
        return True


def _inside(node: Any, part: str | int) -> Any:
    if isinstance(node, dict) or (isinstance(node, list) and isinstance(part, int)):
        return node[part]  # type: ignore[index]  # mypy does not join the two cases
    raise LookupError(part)


def _shown(name: object) -> str:
    text = "".join(character if character.isprintable() else "?" for character in str(name))
    return text if len(text) <= 60 else text[:57] + "..."


def _last_name(path: Path) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "value")


def _worded(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return "text"
    return "a mapping" if isinstance(value, dict) else "a list"


def _keys(model: type[BaseModel], location: Path) -> list[str]:
    """The keys of the shape that ``location`` inside ``model`` leads to; those of ``model`` itself when it leads nowhere."""
    for part in location:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        inner = field and next((item for item in _classes(field.annotation) if issubclass(item, BaseModel)), None)
        if inner:
            model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _classes(annotation: Any) -> list[type]:
    if isinstance(annotation, type):
        return [annotation]
    return [item for argument in getattr(annotation, "__args__", ()) for item in _classes(argument)]
