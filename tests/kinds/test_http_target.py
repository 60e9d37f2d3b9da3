"""``http``: what may be written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from probes.kinds import KINDS
from probes.kinds.http import Target


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("GET https://a.example/x", {"method": "GET", "url": "https://a.example/x"}),
        ("https://a.example", {"method": "GET", "url": "https://a.example"}),
        ("delete https://a.example", {"method": "DELETE", "url": "https://a.example"}),
        ("DELETE ${{ var.api }}/${{ step.a.b }}", {"method": "DELETE", "url": "${{ var.api }}/${{ step.a.b }}"}),
        ("${{ var.api }}/x", {"method": "GET", "url": "${{ var.api }}/x"}),
    ],
)
def test_short_forms(text: str, long: dict[str, Any]) -> None:
    kind = KINDS["http"]
    assert kind.short(text) == long
    kind.target.model_validate(long)
    assert kind.describe(long) == f"{long['method']} {long['url']}"


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"url": "ftp://a.example"}, "url"),
        ({"url": "a.example/x"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://u:p@a.example"}, "url"),
        ({"url": "https://a.example/a b"}, "url"),
        ({"url": "http://169.254.169.254/"}, "ssrf"),
        ({"url": "http://[fd00:ec2::254]/"}, "ssrf"),
        ({"url": "http://0xa9fea9fe/"}, "ssrf"),
        ({"url": "https://a.example", "method": "FETCH"}, "value"),
        ({"url": "https://a.example", "headers": {"a b": "c"}}, "value"),
        ({"url": "https://a.example", "headers": {"a": "b\r\nc: d"}}, "value"),
        ({"url": "https://a.example", "headers": {"Content-Length": "3"}}, "value"),
        ({"url": "https://a.example", "body": "a", "json": {}}, "value"),
        ({"url": "https://a.example", "http_version": 3}, "not-here"),
        ({"url": "https://a.example", "proxy": "socks5://p.example"}, "not-here"),
        ({"url": "https://a.example", "auth": {"digest": {}}}, "not-here"),
        ({"url": "https://a.example", "auth": {}}, "value"),
        ({"url": "https://a.example", "auth": {"bearer": "x"}, "headers": {"Authorization": "y"}}, "value"),
        ({"url": "https://a.example", "client_key": "x"}, "value"),
        ({"url": "https://a.example", "redirects": 99}, "less_than_equal"),
        ({"url": "https://a.example", "family": 5}, "literal_error"),
        ({"url": "https://a.example", "colour": "red"}, "extra_forbidden"),
    ],
)
def test_what_may_not_be_written(target: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Target.model_validate(target)
    assert code in [error["type"] for error in refused.value.errors()]


def test_references_wait_for_the_run() -> None:
    Target.model_validate(
        {"url": "${{ var.api }}/x", "method": "${{ var.m }}", "headers": {"a": "${{ secret.T }}"}, "json": "${{ step.a.b }}"}
    )


def test_a_reference_that_became_a_number_is_sent_as_text() -> None:
    target = Target.model_validate({"url": "https://a.example", "headers": {"x": 5, "y": True}, "query": {"n": 1.5}})
    assert target.headers == {"x": "5", "y": "true"}
    assert target.query == {"n": "1.5"}
