"""Tells any HTTP receiver, signed as Standard Webhooks v1 asks (https://www.standardwebhooks.com, version 1.0.0).

The body is our own, a CloudEvent, or what Alertmanager sends; the signature covers whichever it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator

from probes.channels.delivery.body import alertmanager, cloudevents, standard
from probes.channels.delivery.request import ONE_OR_MANY, REFERENCE, Channel, Http, SecretText, refer, refers
from probes.core.address import literal, public, screen
from probes.core.alert import Alert
from probes.core.kind import Shape
from probes.core.shapes import complain

_BODIES: Final[Mapping[str, tuple[Callable[[Alert], bytes], str]]] = {
    "standard": (standard, "application/json"),
    "cloudevents": (cloudevents, "application/cloudevents+json; charset=utf-8"),
    "alertmanager": (alertmanager, "application/json"),
}
_SENSITIVE: Final = re.compile(r"auth|cookie|token|key|secret|password|credential|signature", re.IGNORECASE)
_OURS: Final = re.compile(r"webhook-.*|host|content-(length|type|encoding)|transfer-encoding|connection|te|upgrade", re.IGNORECASE)


_OWN: Final = "`private: true` for a receiver of your own network"
_KEY: Final = {"type": "string", "pattern": REFERENCE}
Secrets = Annotated[
    list[SecretText],
    Field(min_length=1, max_length=5),
    ONE_OR_MANY,
    WithJsonSchema({"anyOf": [_KEY, {"type": "array", "items": _KEY}]}),
]


class Config(Shape):
    """``secret`` signs (a list while a key is replaced: every key signs); ``private`` allows a receiver of your own network."""

    private: bool = Field(False, description="the receiver is on your own network: loopback and private addresses are allowed")
    url: str = Field(description="where it is posted to")
    format: Literal["standard", "cloudevents", "alertmanager"] = Field(
        "standard", description="the body: of Standard Webhooks, CloudEvents 1.0 (structured JSON), or Alertmanager's version 4"
    )
    secret: Secrets | None = Field(None, description="signs every message; a list while a key is replaced")
    headers: dict[str, str] = Field(default_factory=dict, description="sent along; those with credentials name a secret")

    @field_validator("headers")
    @classmethod
    def _headers(cls, headers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
                raise complain("value", f"`{name}` is not a header that can be sent")
            if _OURS.fullmatch(name):
                raise complain("value", f"the header `{name}` is set by the sender")
            if _SENSITIVE.search(name):
                refer(value, info)
        return headers

    @field_validator("url")
    @classmethod
    def _reachable(cls, url: str, info: ValidationInfo) -> str:
        if not refers(url):
            check_url(url, private=info.data.get("private", False))
        return url


def check_url(url: str, *, private: bool | None) -> None:
    """Raises when nothing can be sent there: another scheme, credentials in the address, a literal address that is refused.

    ``private``: whether a receiver of one's own network is allowed; None where there is no such choice.
    """
    own = f"write {_OWN}" if private is False else None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in {"http", "https"} or port == 0 or re.search(r"[\x00-\x20\x7f]", url):
        raise complain("url", "this is not an address a webhook can be sent to", "write https://host/path")
    if parts.username is not None or parts.password is not None:
        raise complain("secret-reference", "credentials do not belong in an address", "use `headers` and ${{ secret.NAME }}")
    if parts.scheme == "http" and not private:
        raise complain("url", "alerts over plain http can be read on the way", f"write https, or {_OWN}" if own else "write https")
    reason = None
    if literal(host):
        reason = screen(host, loopback=True) if private else public(host)
    elif host == "localhost" and not private:
        reason = "localhost is this machine"
    if reason:
        raise complain("ssrf", f"a webhook may not be sent there: {reason}", own)


def message(alert: Alert, config: Config, now: float) -> Http:
    """The signed request. Its body is the same at every attempt; the time of the attempt (``now``) is signed with it."""
    build, media = _BODIES[config.format]
    body = build(alert)
    stamp = str(int(now))
    known_as = "msg_" + hashlib.sha256(alert.id.encode()).hexdigest()[:32]
    signed = {"webhook-signature": sign(config.secret, known_as, stamp, body)} if config.secret else {}
    headers = {
        **config.headers,
        "content-type": media,
        "webhook-id": known_as,
        "webhook-timestamp": stamp,
        **signed,
    }
    return Http("POST", config.url, headers, body, private=config.private)


def sign(secrets: Sequence[str], known_as: str, stamp: str, body: bytes) -> str:
    """The ``webhook-signature`` header: one HMAC-SHA256 a key. ValueError: a key is not ``whsec_`` and base64 of 24 to 64 bytes."""
    signatures = []
    for secret in secrets:
        try:
            key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = b""
        if not 24 <= len(key) <= 64:
            raise ValueError(
                "a webhook's secret is whsec_ and base64 of 24 to 64 random bytes: make one with `openssl rand -base64 32`"
            )
        digest = hmac.new(key, f"{known_as}.{stamp}.".encode() + body, hashlib.sha256).digest()
        signatures.append("v1," + base64.b64encode(digest).decode())
    return " ".join(signatures)


CHANNEL = Channel(
    "webhook",
    "a signed JSON message for any HTTP receiver (Standard Webhooks)",
    Config,
    'webhook: {url: https://hooks.example.com/probes, secret: "${{ secret.WEBHOOK_KEY }}"}',
    message,
)
