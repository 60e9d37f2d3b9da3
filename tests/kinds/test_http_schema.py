"""``http``: a body against a JSON Schema; what TLS facts say; versions that will not do."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from probes.core.result import Observation
from probes.kinds import KINDS
from probes.kinds.http import Target
from tests.kinds.looking import HOST, STALL, Ticks, see, url
from tests.servers.raw import Raw, answer, response, server_context

ORDER = {
    "type": "object",
    "required": ["id", "items"],
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "items": {"type": "array", "uniqueItems": True, "items": {"$ref": "#/$defs/item"}},
    },
    "patternProperties": {"^x-": {"type": "string"}},
    "additionalProperties": False,
    "$defs": {"item": {"type": "object", "properties": {"sku": {"enum": ["a", "b"]}, "n": {"type": ["integer", "null"]}}}},
}
GOOD: dict[str, Any] = {"id": 1, "code": "ABC", "items": [{"sku": "a", "n": None}, {"sku": "b"}], "x-note": "n"}


async def look(body: Any, schema: Any = ORDER, *, kind: str = "application/json", **more: Any) -> Observation:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with Raw(answer(response(data, Content_Type=kind))) as server:
        return await see("http", {"url": url(server), "schema": schema}, **more)


async def test_a_body_that_fits() -> None:
    seen = await look(GOOD)
    assert seen.fault is None
    assert (seen.facts["schema_valid"], "schema_error" in seen.facts) == (True, False)
    assert set(seen.facts) <= set(KINDS["http"].facts)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"id": "7"}, "body.id is string, not integer"),
        ({"id": 0}, "body.id breaks `minimum: 1`"),
        ({"code": "abc"}, 'body.code breaks `pattern: "^[A-Z]{3}$"`'),
        ({"items": [{"sku": "SECRET"}]}, 'body.items[0].sku breaks `enum: ["a", "b"]`'),
        ({"items": [{"n": 1.5}]}, "body.items[0].n is number, not integer or null"),
        ({"items": [{"n": 1}, {"n": 1.0}]}, "body.items breaks `uniqueItems: true`"),
        ({"items": True}, "body.items is boolean, not array"),
        ({"x-note": 1}, "body.x-note is integer, not string"),
        ({"other": 1}, "body.other is not allowed"),
    ],
)
async def test_the_first_place_that_breaks_the_schema(change: dict[str, Any], error: str) -> None:
    seen = await look(GOOD | change)
    assert seen.fault is None
    assert (seen.facts["schema_valid"], seen.facts["schema_error"], seen.evidence["schema"]) == (False, error, error)


async def test_what_is_missing_is_named() -> None:
    assert (await look({"items": []})).facts["schema_error"] == "body lacks id"
    assert (await look([1])).facts["schema_error"] == "body is array, not object"
    assert (await look(b"<html>", kind="text/html")).facts["schema_error"] == "the body is not JSON"
    assert (await look(b'{"a": ', kind="application/json")).facts["schema_valid"] is False


async def test_true_and_one_are_two_things() -> None:
    assert (await look([1, True, "1"], {"uniqueItems": True})).facts["schema_valid"] is True
    assert (await look([{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], {"uniqueItems": True})).facts["schema_valid"] is False


async def test_options() -> None:
    either = {"oneOf": [{"type": "integer"}, {"minimum": 5}], "anyOf": [{"$ref": "#/$defs/n"}, {"type": "string"}]}
    schema = {"items": either | {}, "$defs": {"n": {"type": "number"}}}
    assert (await look([1, 5.5], schema)).facts["schema_valid"] is True
    assert (await look([1, 7], schema)).facts["schema_error"] == "body[1] fits none, or several, of the 2 options of `oneOf`"
    nothing = {"anyOf": [{"type": "integer"}, {"maximum": 5}]}
    assert (await look([5.5], {"items": nothing})).facts["schema_error"] == "body[0] fits none of the 2 options of `anyOf`"


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text(json.dumps(ORDER))
    assert (await look(GOOD, "order.json", base=str(tmp_path))).facts["schema_valid"] is True
    file.write_text('{"$schema": "http://json-schema.org/draft-07/schema#", "type": "array"}')
    assert (await look(GOOD, "order.json", base=str(tmp_path))).facts["schema_error"] == "body is object, not array"
    for text in ("{", '{"type": "nothing"}', '{"$ref": "https://a.example/b.json"}'):
        file.write_text(text)
        seen = await look(GOOD, "order.json", base=str(tmp_path))
        assert (seen.fault and seen.fault.kind, "order.json" in str(seen.fault)) == ("probe.internal", True)
    missing = await look(GOOD, "none.json", base=str(tmp_path))
    assert missing.fault is not None
    assert missing.fault.kind == "probe.internal"


EXPONENTIAL = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/a"}}] * 2}}}
DEEP: Any = 1
for _ in range(60):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("body", "schema", "fault"),
    [
        (["a" * 50_000 + "!"] * 3, {"items": {"pattern": "^(a+)+$"}}, None),
        ([{"a" * 30 + "!": 1}], {"items": {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}}, None),
        (list(range(20_000)), {"uniqueItems": True, "items": {"type": "integer", "minimum": 0}}, None),
        ({str(n): n for n in range(20_000)}, {"additionalProperties": {"type": "integer"}}, None),
        ([[0, [n]] for n in range(20_000)], {"items": {"anyOf": [*[{"items": {"type": "string"}}] * 160, True]}}, "body.too_large"),
        (DEEP, EXPONENTIAL, "body.too_large"),
        ([1], {"$ref": "#"}, "body.too_large"),
        ([1], {"items": {"$ref": "#/$defs/none"}}, "probe.internal"),
    ],
    ids=["pattern", "names", "unique", "names of an object", "wide", "exponential", "endless", "nowhere"],
)
async def test_checking_is_bounded_and_holds_nobody(body: Any, schema: Any, fault: str | None) -> None:
    await look(GOOD)  # imports are not what is measured
    ticks = Ticks()
    ticking = asyncio.create_task(ticks.run())
    started = time.monotonic()
    seen = await look(body, schema, timeout=10)
    ticking.cancel()
    assert (seen.fault.kind if seen.fault else None) == fault, seen.fault
    assert time.monotonic() - started < 11
    assert ticks.longest < STALL


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nothing"},
        {"required": "id"},
        {"pattern": "("},
        {"properties": {"a": {"pattern": "(?=x)"}}},
        {"patternProperties": {"(?<=a)b": {}}},
        {"$ref": "https://a.example/schema.json"},
        {"items": [{"$ref": "file:///etc/passwd"}], "$schema": "http://json-schema.org/draft-07/schema#"},
        {"patternProperties": {"a": {}}, "unevaluatedProperties": False},
        5,
        [],
    ],
)
def test_what_is_no_schema_is_refused_at_load(schema: Any) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate({"url": "https://a.example", "schema": schema})


def test_what_only_looks_like_a_pattern_is_left_alone() -> None:
    Target.model_validate({"url": "https://a.example", "schema": {"const": {"pattern": "(", "$ref": "x"}}})
    Target.model_validate({"url": "https://a.example", "schema": {"properties": {"pattern": {"type": "string"}}}})


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def test_what_tls_says(authority: trustme.CA) -> None:
    anchors = authority.cert_pem.bytes().decode()
    with Raw(answer(response()), server_context(authority, HOST)) as server:
        seen = await see("http", {"url": url(server, scheme="https"), "ca": anchors, "min_tls": 1.3})
        lax = await see("http", {"url": url(server, scheme="https"), "verify": False})
        refused = await see("http", {"url": url(server, scheme="https")})
    assert (seen.facts["verified"], seen.facts["tls_version"], seen.facts["chain_length"]) == (True, "TLSv1.3", 1)
    assert "unverified" not in seen.evidence
    assert lax.facts["verified"] is False
    assert "NOT checked" in lax.evidence["unverified"]
    assert "verified" not in refused.facts
    assert set(seen.facts) <= set(KINDS["http"].facts)


async def test_an_old_version_will_not_do(authority: trustme.CA) -> None:
    old = server_context(authority, HOST, newest=ssl.TLSVersion.TLSv1_2)
    with Raw(answer(response()), old) as server:
        asked = {"url": url(server, scheme="https"), "ca": authority.cert_pem.bytes().decode()}
        seen, refused = await see("http", asked), await see("http", asked | {"min_tls": "1.3"})
    assert (seen.fault, seen.facts["tls_version"]) == (None, "TLSv1.2")
    assert refused.fault is not None
    assert refused.fault.kind == "tls.protocol_version"
