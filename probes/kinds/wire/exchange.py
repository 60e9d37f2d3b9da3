"""One HTTP exchange, redirects included: each hop resolved, screened and timed anew, on a connection of its own."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from probes import __version__
from probes.core.units import Duration, Size
from probes.kinds.wire import content, trust
from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.http1 import REDIRECTS, Pause
from probes.kinds.wire.look import Look
from probes.kinds.wire.proxy import Proxy
from probes.kinds.wire.sigv4 import Key, sign
from probes.kinds.wire.transport import Exchange, Prepared, Transport, fault_of, prepare
from probes.kinds.wire.trust import Policy
from probes.kinds.wire.way import Family, Way

AGENT: Final = f"Probes/{__version__}"
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND", "REPORT", "PURGE")
_HARMLESS: Final = {
    "accept",
    "accept-language",
    "accept-encoding",
    "user-agent",
    "content-type",
    "content-language",
    "cache-control",
    "host",
}
_COOKIES: Final = 100
"""Cookies that are kept of one response; with more of them, none is: it takes too long."""
_SHOWN: Final = frozenset(
    [
        "accept-ranges",
        "age",
        "allow",
        "alt-svc",
        "cache-control",
        "cf-cache-status",
        "cf-ray",
        "connection",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "date",
        "etag",
        "expires",
        "keep-alive",
        "last-modified",
        "location",
        "pragma",
        "retry-after",
        "server",
        "server-timing",
        "strict-transport-security",
        "traceparent",
        "transfer-encoding",
        "vary",
        "via",
        "warning",
        "x-amz-cf-id",
        "x-amz-cf-pop",
        "x-amz-request-id",
        "x-amzn-requestid",
        "x-amzn-trace-id",
        "x-cache",
        "x-correlation-id",
        "x-frame-options",
        "x-powered-by",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-request-id",
        "x-runtime",
        "x-served-by",
        "x-trace-id",
    ]
)
"""Response headers that are shown with their values; of the others only the names are."""


@dataclass(frozen=True)
class Plain:
    """A request in plain values, as a target says it. What follows from them is worked out once."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: str | None
    json: Any
    has_json: bool
    form: Mapping[str, str] | None
    basic: tuple[str, str] | None
    bearer: str | None
    key: Key | None
    policy: Policy
    proxy: Proxy | None
    redirects: int
    version: str
    family: Family

    @cached_property
    def first(self) -> _Ready:
        """What goes to the first hop when there are no cookies. Raises Failed."""
        return _Request(self).ready(None)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A request worked out, its URL for people, and whom it believes."""

    request: httpx.Request
    prepared: Prepared
    here: str
    policy: Policy

    def outgoing(self, exchange: Exchange) -> httpx.Request:
        """The same request, for one run."""
        fresh = object.__new__(httpx.Request)
        fresh.__dict__.update(self.request.__dict__)
        fresh.extensions = {"exchange": exchange}
        return fresh


class _Request:
    """What goes to the next hop: a redirect may take its body, its headers and its credentials away."""

    def __init__(self, plain: Plain) -> None:
        self.plain = plain
        self.method = plain.method
        self.url = _url(plain.url)
        if plain.query:
            self.url = self.url.copy_merge_params(dict(plain.query))
        self.headers = {name.lower(): value for name, value in plain.headers.items()}
        self.body, kind = _body(plain)
        if kind:
            self.headers.setdefault("content-type", kind)
        if plain.basic is not None:
            token = base64.b64encode(":".join(plain.basic).encode()).decode()
            self.headers["authorization"] = f"Basic {token}"
        elif plain.bearer is not None:
            self.headers["authorization"] = f"Bearer {plain.bearer}"
        self.policy, self.key = plain.policy, plain.key
        if plain.key is not None and b"+" in self.url.query:  # AWS reads a plus as a plus
            self.url = self.url.copy_with(query=self.url.query.replace(b"+", b"%20"))

    def build(self, cookies: httpx.Cookies | None) -> httpx.Request:
        headers = {"user-agent": AGENT, "accept": "*/*", "accept-encoding": content.ACCEPTED} | self.headers
        try:
            request = httpx.Request(self.method, self.url, headers=headers, content=self.body)
        except (UnicodeEncodeError, ValueError) as error:
            raise failed("probe.internal", f"this request cannot be sent: {error}") from error
        if cookies is not None:
            cookies.set_cookie_header(request)
        if self.key is not None:
            path, sent = self.url.raw_path.decode("ascii"), dict(request.headers.items())
            request.headers.update(sign(self.key, self.method, path, sent, self.body or b""))
        return request

    def ready(self, cookies: httpx.Cookies | None) -> _Ready:
        """It, worked out. Raises Failed."""
        built = self.build(cookies)
        return _Ready(built, prepare(built, self.version, self.plain.proxy), shown(self.url), self.policy)

    def redirect(self, status: int, location: str) -> None:
        """Become the request that a redirect asks for (RFC 9110, section 15.4). Raises Failed: ``redirect.*``."""
        said = repr(content.snippet(location, 200))
        scheme = re.match(r"\s*([A-Za-z][A-Za-z0-9+.-]*):", location)
        if scheme and scheme[1].lower() not in ("http", "https"):
            raise failed("redirect.blocked", f"the redirect leaves http and https: {said}")
        try:
            given = httpx.URL(location.strip())
            there = self.url.join(given).copy_with(fragment=None)
        except (httpx.InvalidURL, ValueError) as error:
            raise failed("redirect.invalid", f"the redirect to {said} is not a URL: {error}") from error
        if (given.scheme and not given.host) or not there.host or not 0 < _origin(there)[2] < 65536:
            raise failed("redirect.invalid", f"the redirect to {said} names no host, or no port there is")
        carries_body = self.body is not None and status in (307, 308)
        if self.url.scheme == "https" and there.scheme == "http" and (carries_body or self._secretive()):
            raise failed("redirect.blocked", f"the redirect would carry credentials to plain http: {shown(there)}")
        if (status == 303 and self.method != "HEAD") or (status in (301, 302) and self.method == "POST"):
            self.method = "GET"
            self.body = None
            self.headers.pop("content-type", None)
        if _origin(there) != _origin(self.url):  # what was configured is for the origin that was configured
            kept = self.headers.get("content-type") if self.body is not None else None
            self.headers = {} if kept is None else {"content-type": kept}
            self.policy, self.key = replace(self.policy, certificate=None, key=None), None
        self.url = there.copy_with(userinfo=b"")

    @property
    def version(self) -> str:
        """HTTP/2 in the clear is spoken only to the origin that was named: no other is known to understand it."""
        first = _url(self.plain.url)
        told = self.url.scheme == "https" or (self.plain.proxy is None and _origin(first) == _origin(self.url))
        return self.plain.version if told or self.plain.version != "2" else "1.1"

    def _secretive(self) -> bool:
        return self.policy.certificate is not None or self.key is not None or any(name not in _HARMLESS for name in self.headers)


def _body(plain: Plain) -> tuple[bytes | None, str | None]:
    if plain.has_json:
        return json.dumps(plain.json, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"), "application/json"
    if plain.form is not None:
        return urlencode(plain.form).encode(), "application/x-www-form-urlencoded"
    return (None, None) if plain.body is None else (plain.body.encode("utf-8", "replace"), "text/plain; charset=utf-8")


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}[url.scheme]


@lru_cache(maxsize=1024)
def _url(text: str) -> httpx.URL:
    return httpx.URL(text).copy_with(fragment=None)


def shown(url: httpx.URL) -> str:
    """A URL for people: without user, password and fragment, and not endless."""
    bare = url.copy_with(userinfo=b"", fragment=None) if url.userinfo or url.fragment else url
    return content.snippet(str(bare), 2048)


@cache
def _client() -> httpx.AsyncClient:
    """The one client; the transport keeps no connections."""
    return httpx.AsyncClient(transport=Transport(), trust_env=False)


async def follow(plain: Plain, seen: Look, cookies: httpx.Cookies | None = None) -> None:
    """Send the request, follow its redirects, and note in ``seen`` what the last hop answered.

    Raises:
        Failed: with ``seen`` holding what was seen until then.
    """
    request: _Request | None = None  # None: the one that was worked out before
    hops: list[tuple[str, str, int, Way]] = []
    visited: set[tuple[str, str, str]] = set()
    while True:
        if request is None and cookies is None and plain.key is None:  # a signature holds for some minutes only
            ready = plain.first
        else:
            request = request or _Request(plain)
            ready = request.ready(cookies)
        url, here = ready.request.url, ready.here
        context = trust.context(ready.policy, seen.context.base) if url.scheme == "https" else None
        if not hops:
            seen.restart()
        way = seen.way(plain.family)
        way.proxy = plain.proxy
        exchange = Exchange(way, context, ready.prepared.version, plain.redirects > 0, ready.prepared)
        outgoing = ready.outgoing(exchange)
        if hops:
            step = (outgoing.method, str(url), outgoing.headers.get("cookie", ""))
            if step in visited:
                raise failed("redirect.loop", f"the redirects go in a circle: {here} again after {len(hops)}")
        seen.evidence["url"] = seen.facts["url"] = seen.hide(here)
        seen.facts["redirects"] = len(hops)
        started = time.monotonic()
        try:
            # As httpx's own send, without what it would do about redirects and cookies; it is also where respx steps in.
            response = await _client()._transport_for_url(url).handle_async_request(outgoing)
        except httpx.HTTPError as error:
            if exchange.reply is not None:
                _note_head(seen, exchange.reply.status, exchange.reply.reason, exchange.reply.names())
                seen.facts["size"] = Size(len(exchange.reply.body))
                seen.evidence["body"] = content.snippet(bytes(exchange.reply.body[:1200]).decode("utf-8", "replace"))
            _note_way(seen, way, verified=ready.policy.verify)
            raise Failed(fault_of(error)) from error
        if exchange.reply is None:  # another transport took the request, such as a mock
            await response.aread()
            way.phases["wait"] = time.monotonic() - started
        names = dict(response.headers.items()) if exchange.reply is None else exchange.reply.names()
        hops.append((outgoing.method, here, response.status_code, way))
        if len(hops) > 1:
            seen.evidence["hops"] = [_hop(*hop) for hop in hops]
        location = names.get("location")
        if not (plain.redirects and response.status_code in REDIRECTS and location):
            break
        _note_head(seen, response.status_code, response.reason_phrase, names)
        if len(hops) > plain.redirects:
            raise failed(
                "redirect.too_many", f"there are more than {plain.redirects} redirects; the last goes to {location[:200]!r}"
            )
        visited.add((outgoing.method, str(url), outgoing.headers.get("cookie", "")))
        if "set-cookie" in names:
            cookies = _keep(httpx.Cookies() if cookies is None else cookies, outgoing, response)
        request = request or _Request(plain)
        request.redirect(response.status_code, location)
    if cookies is not None:
        _keep(cookies, outgoing, response)
    _note_head(seen, response.status_code, response.reason_phrase, names)
    await _note_body(seen, exchange, response, names)
    _note_way(seen, way, verified=ready.policy.verify)


def _keep(cookies: httpx.Cookies, request: httpx.Request, response: httpx.Response) -> httpx.Cookies:
    response.request = request
    if 0 < len(response.headers.get_list("set-cookie")) <= _COOKIES:
        cookies.extract_cookies(response)
    return cookies


def _hop(method: str, here: str, status: int, way: Way) -> dict[str, Any]:
    phases = {name: round(seconds * 1000, 3) for name, seconds in way.phases.items()}
    return {"method": method, "url": here[:256], "status": status, "ip": way.ip, "phases_ms": phases}


def _note_head(seen: Look, status: int, reason: str, names: dict[str, str]) -> None:
    seen.facts["status"] = status
    names = seen.hide(names)
    seen.facts["header"] = names
    seen.evidence["response"] = {
        "status": f"{status} {content.snippet(reason, 100)}".strip(),
        "headers": {name: content.snippet(value, 500) for name, value in names.items() if name in _SHOWN},
        "hidden_headers": [content.snippet(name, 100) for name in names if name not in _SHOWN][:50],
    }


async def _note_body(seen: Look, exchange: Exchange, response: httpx.Response, names: dict[str, str]) -> None:
    kind, encoding, pause = names.get("content-type"), names.get("content-encoding"), Pause()
    if exchange.reply is None:
        raw = body = response.content
    else:
        raw = bytes(exchange.reply.body)
        exchange.reply.body.clear()
        seen.facts["size"] = Size(len(raw))
        body = await content.decode(raw, re.split(r"[\s,]+", encoding.lower())) if encoding else raw
        seen.facts["http_version"] = exchange.reply.version
    seen.facts["size"] = Size(len(raw))
    await pause()
    text = seen.hide(content.read(body, kind))
    await pause()
    seen.facts["body"] = content.parse(text, kind)
    if text:
        seen.evidence["body"] = content.snippet(text)


def _note_way(seen: Look, way: Way, *, verified: bool) -> None:
    if way.proxy is not None:
        seen.evidence["proxy"] = {"address": way.proxy.where.removeprefix("the proxy "), "ip": way.ip}
        if way.tunnel is not None:
            seen.facts["tunnel"] = Duration(way.tunnel)
            seen.evidence["proxy"]["tunnel_ms"] = round(way.tunnel * 1000, 3)
    found = way.certificate()
    if way.version is not None:
        seen.facts |= {"tls_version": way.version, "cipher": way.cipher}
        if way.phase != "tls":  # the handshake was finished
            seen.facts["verified"] = verified
        if not verified:
            seen.evidence["unverified"] = "the certificate was NOT checked (verify: false): anyone may have answered"
    seen.facts |= {name: found[name] for name in ("expires_in", "issuer", "subject", "names", "chain_length") if name in found}
