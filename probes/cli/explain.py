"""``probes explain``: the page of a problem code, of a fault, or of a kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from probes.cli.shared.options import json_option

if TYPE_CHECKING:
    from probes.core.kind import Kind


@click.command()
@click.argument("word", metavar="[CODE|FAULT|KIND]", required=False)
@json_option
def command(word: str | None, as_json: bool) -> None:
    """Explain a problem code (`unit`), a fault (`dns.nxdomain`) or a kind (`dns`); without one, list them all."""
    from probes.cli.shared import terminal
    from probes.core.diagnostics import CODES, did_you_mean, printable
    from probes.core.fault import FAULTS
    from probes.kinds import KINDS

    known = [("kind", name) for name in KINDS] + [("fault", name) for name in FAULTS] + [("code", name) for name in CODES]
    if word is None:
        pages = [_page(sort, name) for sort, name in known]
        if as_json:
            terminal.document(pages)
        else:
            listed = ((page["word"], page["sort"], page["text"].splitlines()[0]) for page in pages)
            terminal.table(("word", "sort", "meaning"), listed)
        return
    chosen = [_page(sort, name) for sort, name in known if name == word]
    if not chosen:
        hint = did_you_mean(word, [name for _, name in known]) or "`probes explain` lists them"
        raise click.UsageError(f"there is no problem code, no fault and no kind `{printable(word)}`: {hint}")
    if as_json:
        terminal.document(chosen[0])
        return
    for page in chosen:
        click.echo(f"{word} ({page['sort']})\n\n{page['text']}")
        if page["sort"] == "kind":
            _tables(page)


def _page(sort: str, name: str) -> dict[str, Any]:
    """The JSON form of a page: ``word``, ``sort``, ``text``; a kind has more."""
    from probes.core.diagnostics import CODES
    from probes.kinds import KINDS

    if sort == "kind":
        return {"word": name, "sort": sort, **_kind(KINDS[name])}
    return {"word": name, "sort": sort, "text": _fault(name) if sort == "fault" else str(CODES[name])}


def _fault(name: str) -> str:
    from probes.core.fault import ADVICE, FAULTS

    whose = (
        "This is trouble of the monitor, not of the target: the outcome is `errored`, and it never counts as downtime."
        if name.startswith("probe.")
        else "The target, or the way to it, gave this: the outcome is `failed`, unless the check asserts exactly this."
    )
    because = FAULTS[name]
    return f"{because[:1].upper()}{because[1:]}.\n\n{whose}\n\nWhat to do: {ADVICE[name]}"


def _kind(kind: Kind) -> dict[str, Any]:
    return {
        "text": kind.summary,
        "short": f"{kind.name}: {kind.example}",
        "keys": list(_keys(kind.target.model_json_schema(by_alias=True))),
        "facts": [
            {"fact": name, "type": f"list of {fact.of}" if fact.type == "list" else fact.type, "meaning": fact.doc}
            for name, fact in kind.facts.items()
        ],
        "must": list(kind.must),
        "not_on": dict(kind.not_on),
        "switch": kind.switch,
    }


def _keys(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The keys of the long form; what one means is said at its field, or under Attributes in the docstring of the shape."""
    _, _, told = str(schema.get("description", "")).partition("Attributes:\n")
    words = {name: " ".join(text.split()) for name, text in re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", told, re.MULTILINE)}
    for name, field in schema.get("properties", {}).items():
        yield {
            "key": name,
            "value": _type(field, schema.get("$defs", {})),
            "required": name in schema.get("required", ()),
            "default": field.get("default"),
            "meaning": str(field.get("description", words.get(name, ""))).replace("``", "`"),
        }


def _type(shape: Mapping[str, Any], shapes: Mapping[str, Any]) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in shape:
        inner = shapes.get(shape["$ref"].rsplit("/", 1)[1], {})
        return f"mapping of {', '.join(inner['properties'])}" if "properties" in inner else _type(inner, {})
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in shape:
            return " or ".join(dict.fromkeys(_type(one, shapes) for one in shape[choice] if one.get("type") != "null"))
    if "const" in shape or "enum" in shape:
        return ", ".join(map(str, shape.get("enum", [shape.get("const")])))
    if shape.get("examples"):
        return f"such as {shape['examples'][0]}"
    match shape.get("type"):
        case "array":
            return f"list of {_type(shape.get('items', {}), shapes)}"
        case "object":
            return "mapping"
        case "string":
            return "text"
        case "boolean":
            return "true or false"
        case "integer" | "number":
            return "number"
    return "any value"


def _tables(page: Mapping[str, Any]) -> None:
    from probes.cli.shared import nested, terminal

    for place, reason in page["not_on"].items():
        click.echo(f"Not from {place.rstrip(':')}: {reason}.")
    if page["switch"]:
        click.echo(f"The file must say `{page['switch']}: allowed`.")
    click.echo(f"\nShort form\n\n    {page['short']}\n\nLong form: the keys below `{page['word']}:`\n")
    keys = (
        (
            key["key"],
            key["value"],
            "required" if key["required"] else "" if key["default"] in (None, [], {}, "") else nested.text(key["default"]),
            key["meaning"],
        )
        for key in page["keys"]
    )
    terminal.table(("key", "value", "default", "meaning"), keys)
    click.echo("\nFacts, for `must` and `should`\n")
    terminal.table(("fact", "type", "meaning"), ((fact["fact"], fact["type"], fact["meaning"]) for fact in page["facts"]))
    click.echo(f"\nWithout a `must` of its own: {', '.join(page['must']) or 'nothing must hold'}")
