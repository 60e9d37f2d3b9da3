"""URLs of http and https, as they are written in targets."""

from __future__ import annotations

import re
from typing import Annotated

import httpx
from pydantic import AfterValidator

from probes.core.shapes import complain
from probes.kinds.wire.target import pending, permitted


def web(text: str) -> str:
    """A URL of http or https that a probe may ask. Raises the diagnostics ``url`` and ``ssrf``."""
    if pending(text):
        return text
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise complain("url", f"{text!r} is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise complain("url", f"{text!r} is not a URL to probe: it needs http:// or https:// and a host")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise complain("url", f"{url.port} is not a port: ports are 1 to 65535")
    if url.userinfo:
        raise complain("url", "a URL may not hold a user or a password, for it is shown", "write them under `auth: {basic: ...}`")
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise complain("url", "a URL cannot hold spaces or control characters", "write a space as %20")
    permitted(url.host)
    return text


Url = Annotated[str, AfterValidator(web)]
