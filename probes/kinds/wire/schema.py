"""A body checked against a JSON Schema, with bounds: patterns are RE2's, no other document is fetched, time is limited.

The dialect is what ``$schema`` says, 2020-12 where it says nothing; ``format`` is a remark, as the standard has it.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import re2  # type: ignore[import-untyped]  # google-re2 has no stubs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # it has no stubs
from referencing.exceptions import Unresolvable

from probes.core.shapes import complain
from probes.kinds.wire import content
from probes.kinds.wire.failure import failed

_LARGEST: Final = 1024 * 1024
_QUICK, _PATIENT = 0.03, 1.0
"""Seconds of computing: so much at once, so much in a thread of its own; then the body counts as too large."""
_VALUES: Final = {"const", "enum", "default", "examples"}
_limit = threading.local()


class _TooMuch(Exception):
    """Checking takes more computing than a body may cost."""


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _compiled(pattern).search(instance):
        yield ValidationError("")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, inner in patterns.items():
            for name, value in instance.items():
                _tick()
                if _compiled(pattern).search(name):
                    yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _additional(validator: Any, inner: Any, instance: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        patterns = [_compiled(pattern) for pattern in schema.get("patternProperties", {})]
        for name, value in instance.items():
            _tick()
            if name not in schema.get("properties", {}) and not any(pattern.search(name) for pattern in patterns):
                if inner is False:
                    yield ValidationError("", path=[name])
                else:
                    yield from validator.descend(value, inner, path=name)


def _unique(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if wanted and isinstance(instance, list):
        seen = set()
        for value in instance:
            _tick()
            seen.add(_canonical(value))
        if len(seen) < len(instance):
            yield ValidationError("")


def _canonical(value: Any) -> str:
    """A text that is the same for values that JSON Schema calls equal: 1 and 1.0 are, 1 and true are not."""
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return {name: _whole(each) for name, each in value.items()} if isinstance(value, dict) else value


def _any_of(validator: Any, options: list[Any], instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Without a report of why each option did not hold: those of nested options add up to more than memory."""
    if not any(validator.evolve(schema=option).is_valid(instance) for option in options):
        yield ValidationError("")


def _one_of(validator: Any, options: list[Any], instance: Any, schema: Any) -> Iterator[ValidationError]:
    if sum(validator.evolve(schema=option).is_valid(instance) for option in options) != 1:
        yield ValidationError("")


_OURS: Final[dict[str, Any]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "uniqueItems": _unique,
    "anyOf": _any_of,
    "oneOf": _one_of,
}


def _tick() -> None:
    if time.thread_time() > _limit.until:
        raise _TooMuch


def _timed(keyword: Callable[..., Any]) -> Callable[..., Any]:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        _tick()
        return keyword(validator, value, instance, schema)

    return check


@cache
def _bounded(dialect: Any) -> Any:
    """The validator of a dialect, with our keywords in place of those that could take for ever."""
    keywords = {name: _timed(_OURS.get(name, check)) for name, check in dialect.VALIDATORS.items()}
    return extend(dialect, keywords)  # type: ignore[no-untyped-call]  # its stub is incomplete


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern)


def check(schema: Any) -> None:
    """Refuse what is no schema, or one that could not be checked within bounds. Raises the diagnostic ``value``."""
    dialect = validator_for(schema, default=Draft202012Validator)
    try:
        dialect.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        where = error.json_path.removeprefix("$").lstrip(".") if isinstance(error, SchemaError) else ""
        said = error.message[:200] if isinstance(error, SchemaError) else "it is nested too deeply"
        raise complain("value", f"this is not a JSON Schema: {where + ': ' if where else ''}{said}") from None
    parts = list(_parts(schema))
    for part in parts:
        for name in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(part.get(name), str) and not part[name].startswith("#"):
                raise complain(
                    "value", f"`{name}` may lead to another place of the schema, not to {part[name][:80]!r}", "use $defs"
                )
        written = part.get("patternProperties")
        for pattern in [part.get("pattern"), *(written if isinstance(written, dict) else ())]:
            if isinstance(pattern, str):
                _readable(pattern)
    if all(any(name in part for part in parts) for name in ("unevaluatedProperties", "patternProperties")):
        raise complain("value", "`unevaluatedProperties` and `patternProperties` are not checked together here")


def _readable(pattern: str) -> None:
    try:
        _compiled(pattern)
    except re2.error as error:
        raise complain("value", f"the pattern {pattern[:80]!r} is not one of RE2: {error}") from None


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for name, inner in schema.items():
            if name not in _VALUES:
                yield from _parts(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _parts(inner)


def prepare(schema: Mapping[str, Any] | str, base: str) -> Validator:
    """The validator of a schema, or of a JSON file that holds one; it is read again when it was changed.

    Raises:
        Failed: ``probe.internal``, when the file cannot be read or holds no schema.
    """
    if not isinstance(schema, str):
        return _made(json.dumps(schema))
    path = Path(base, schema)
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise failed("probe.internal", f"`schema` {schema} cannot be used: {error}") from error


@lru_cache(maxsize=256)
def _read(path: Path, stamp: int) -> Validator:
    with path.open(encoding="utf-8") as file:
        text = file.read(_LARGEST + 1)
    if len(text) > _LARGEST:
        raise ValueError("it is above the limit of 1 MB")
    found = json.loads(text)
    check(found)
    return _made(json.dumps(found))


@lru_cache(maxsize=256)
def _made(text: str) -> Validator:
    schema = json.loads(text)
    made: Validator = _bounded(validator_for(schema, default=Draft202012Validator))(schema, registry=REGISTRY)
    return made


@cache
def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="schema")


async def complaint(validator: Validator, body: Any) -> str | None:
    """The first place where ``body`` breaks the schema, and how; None where it holds. No value of the body is told.

    Raises:
        Failed: ``body.too_large``, ``probe.internal``.
    """
    if isinstance(body, str):
        return "the body is not JSON"
    try:
        try:
            return _first(validator, body, _QUICK)
        except _TooMuch:
            return await asyncio.get_running_loop().run_in_executor(_worker(), _first, validator, body, _PATIENT)
    except _TooMuch:
        raise failed("body.too_large", f"the body is too large to be checked against its schema within {_PATIENT:g}s") from None
    except RecursionError:
        raise failed("body.too_large", "the body, or its schema, is nested too deeply to be checked") from None
    except Unresolvable as error:
        raise failed("probe.internal", f"the schema refers to what it does not hold: {str(error)[:200]}") from error


def _first(validator: Validator, body: Any, seconds: float) -> str | None:
    _limit.until = time.thread_time() + seconds
    error = next(validator.iter_errors(body), None)
    return None if error is None else content.snippet(_words(error), 250)


def _words(error: ValidationError) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return f"body{path[:150]} {_breach(error)}"


def _breach(error: Any) -> str:
    keyword, wanted, found = str(error.validator), error.validator_value, error.instance
    if error.validator is None or wanted is False:
        return "is not allowed"
    if keyword == "type":
        return f"is {_sort(found)}, not {' or '.join(wanted) if isinstance(wanted, list) else wanted}"
    if keyword == "required" and isinstance(found, dict):
        return f"lacks {', '.join(name for name in wanted if name not in found)}"
    if keyword in ("anyOf", "oneOf"):
        return f"fits {'none' if keyword == 'anyOf' else 'none, or several,'} of the {len(wanted)} options of `{keyword}`"
    return f"breaks `{keyword}: {json.dumps(wanted, ensure_ascii=False)[:80]}`"


def _sort(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "something else")
