"""AWS Signature Version 4: a request signed with a key, in the ``authorization`` header.

Source: AWS General Reference, "Create a signed AWS API request"; S3 differs in how a path is encoded and in that it wants the
digest of the body as a header.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SIGNED: Final = ("content-type", "host", "range")
"""Headers that are signed besides those of AWS itself, where they are sent."""


@dataclass(frozen=True, slots=True)
class Key:
    """Whose key, and for which service where: ``execute-api`` in ``eu-west-1``. ``token`` goes with a temporary key."""

    access: str
    secret: str = field(repr=False)
    region: str
    service: str
    token: str | None = field(default=None, repr=False)


def sign(key: Key, method: str, target: str, headers: Mapping[str, str], body: bytes, at: float | None = None) -> dict[str, str]:
    """The headers that sign a request.

    Args:
        key: what it is signed with.
        method: ``GET`` ...
        target: path and query as they are sent.
        headers: those that are sent, names in lower case, ``host`` among them.
        body: as it is sent.
        at: epoch seconds; now, when it is left out. A server accepts 5 minutes of difference.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    digest = hashlib.sha256(body).hexdigest()
    made = {"x-amz-date": stamp}
    if key.token is not None:
        made["x-amz-security-token"] = key.token
    if key.service == "s3":
        made["x-amz-content-sha256"] = digest
    signed = {name: value for name, value in headers.items() if name in _SIGNED or name.startswith("x-amz-")} | made
    names = ";".join(sorted(signed))
    path, _, query = target.partition("?")
    canonical = "\n".join(
        (
            method,
            _path(path, key.service),
            _query(query),
            *(f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)),
            "",
            names,
            digest,
        )
    )
    scope = f"{stamp[:8]}/{key.region}/{key.service}/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    secret = f"AWS4{key.secret}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    made["authorization"] = f"{_ALGORITHM} Credential={key.access}/{scope}, SignedHeaders={names}, Signature={signature}"
    return made


def _path(path: str, service: str) -> str:
    """S3 takes the path as it is, encoded once; all others without dots and double slashes, what was sent encoded once more."""
    if service == "s3":
        return quote(unquote_to_bytes(path), safe="/~") or "/"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    tail = "/" if parts and path.endswith("/") else ""
    return quote("/" + "/".join(parts) + tail, safe="/~")


def _query(query: str) -> str:
    """Names and values encoded in one way, in order."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(f"{name}={value}" for name, value in sorted((_coded(name), _coded(value)) for name, _, value in pairs))


def _coded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="~")
