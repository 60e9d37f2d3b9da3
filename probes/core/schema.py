"""The JSON Schema of checks.yaml, for editors. It cannot look inside an assertion; ``probes validate`` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from probes.core import shapes
from probes.core.kind import Kind, Shape
from probes.core.sections import SWITCHES

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REF: Final = "#/$defs/{model}"
_SHARED: Final = (
    shapes.Policy,
    shapes.GroupShape,
    shapes.CheckShape,
    shapes.RouteShape,
    shapes.MaintenanceShape,
    shapes.SelfCheckShape,
    shapes.LocationShape,
)


def schema(kinds: Mapping[str, Kind], channels: Mapping[str, type[Shape]]) -> dict[str, Any]:
    """The schema with every kind and channel given; deterministic, so that it can be committed and compared."""
    models: list[type[Shape]] = [*_SHARED, *(kinds[name].target for name in kinds), *(channels[name] for name in channels)]
    refs, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    defs: dict[str, Any] = definitions.get("$defs", {})

    def of(model: type[Shape]) -> dict[str, Any]:
        return dict(refs[model, "validation"])

    def named(values: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "propertyNames": {"pattern": f"^{shapes.ID.pattern}$"}, "additionalProperties": values}

    policy = defs[_name(of(shapes.Policy))]["properties"]
    check = defs[_name(of(shapes.CheckShape))]
    check["properties"] |= {name: _target(kinds[name], of(kinds[name].target), defs) for name in sorted(kinds)}
    check["oneOf"] = [{"required": [name]} for name in sorted(kinds)]
    one_channel = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": False}
    place = {"type": "string", "pattern": shapes.PLACE}
    return {
        "$schema": DIALECT,
        "title": "checks.yaml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "version": {"const": 1},
            "service": {"type": "string", "pattern": f"^{shapes.ID.pattern}$"},
            "include": {"type": "array", "items": {"type": "string"}},
            "variables": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
            "secrets": {
                "type": "object",
                "additionalProperties": {"type": "string", "pattern": "^(ssm:|secretsmanager:|env:|file:)"},
            },
            "locations": named({"anyOf": [place, of(shapes.LocationShape)]}),
            "self_check": of(shapes.SelfCheckShape),
            "defaults": of(shapes.Policy),
            "groups": named(of(shapes.GroupShape)),
            "checks": named(of(shapes.CheckShape)),
            "channels": named(one_channel | {"properties": {name: of(channels[name]) for name in sorted(channels)}}),
            "routes": {"type": "array", "items": of(shapes.RouteShape)},
            "maintenance": {"type": "array", "items": of(shapes.MaintenanceShape)},
            "metrics": policy["metrics"],
            "events": policy["events"],
            **{name: {"const": "allowed"} for name in SWITCHES},
        },
        "$defs": dict(sorted(defs.items())),
    }


def _name(ref: Mapping[str, Any]) -> str:
    return str(ref["$ref"]).rsplit("/", 1)[1]


def _target(kind: Kind, ref: dict[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    """The long form or the short one; a kind whose target is a list under its own name takes the list itself."""
    own = defs[_name(ref)]["properties"].get(kind.name)
    if own is not None:
        return dict(own)
    short = {"type": "string", "description": kind.summary, "examples": [kind.example]}
    return {"anyOf": [short, ref]}
