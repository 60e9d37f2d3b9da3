"""``http``: one HTTP request, redirects followed; each phase of it timed."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

import httpx
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.core.shapes import complain
from probes.kinds.wire import oauth
from probes.kinds.wire.auth import Auth
from probes.kinds.wire.exchange import METHODS, Plain, follow
from probes.kinds.wire.look import Look, look
from probes.kinds.wire.proxy import Proxy
from probes.kinds.wire.target import HeaderText, KeyText, SecretText, Text, pending, plain
from probes.kinds.wire.trust import Policy
from probes.kinds.wire.url import Url, web

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = {"connection", "content-length", "transfer-encoding", "upgrade", "te", "expect"}


def _method(text: str) -> str:
    if not pending(text) and text not in METHODS:
        raise complain("value", f"there is no method {text}", f"write one of {', '.join(METHODS)}")
    return text


def _name(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise complain("value", f"{text!r} is not a header name")
    if text.lower() in _OURS:
        raise complain("value", f"the header {text} is set by the probe itself")
    return text


def _version(value: Any) -> Any:
    if value in (3, "3"):
        raise complain("not-here", "HTTP/3 is not spoken here: it goes over QUIC; HTTP/2, 1.1 and 1.0 are", "remove http_version")
    if value in (2, "2.0") and not isinstance(value, bool):
        return "2"
    return _number(value)


def _number(value: Any) -> Any:
    return str(value) if isinstance(value, float) else value


def _gate(text: str) -> str:
    if pending(text):
        return text
    scheme = text.partition("://")[0].lower()
    if scheme in ("https", "socks", "socks4", "socks4a", "socks5", "socks5h"):
        raise complain("not-here", f"a proxy is spoken to by http:// here, not by {scheme}://", "write http://proxy.example:3128")
    if "@" in text:
        raise complain("url", "a URL may not hold a user or a password", "write proxy: {url: ..., user: ..., password: ...}")
    url = httpx.URL(web(text))
    if url.raw_path != b"/":
        raise complain("url", "the URL of a proxy is a host and a port, without a path", "write http://proxy.example:3128")
    return text


class Gate(Shape):
    """An HTTP proxy, and what it wants of us."""

    url: Annotated[str, AfterValidator(_gate)] = Field(description="http://host:port")
    user: Text | None = Field(None, description="the user's name")
    password: SecretText | None = Field(None, description="a secret: ${{ secret.NAME }}")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise complain("value", "`user` and `password` of a proxy go together")
        return self

    def proxy(self) -> Proxy:
        """The proxy with everything worked out."""
        url = httpx.URL(self.url)
        return Proxy(url.raw_host.decode("ascii").strip("[]"), url.port or 80, self.user, self.password)


def _gated(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


def _schema(value: dict[str, Any] | str | None) -> dict[str, Any] | str | None:
    """What cannot be used is refused at load; what still holds references, or lies in a file, is looked at by the run."""
    if isinstance(value, dict) and not pending(json.dumps(value, default=str)):
        from probes.kinds.wire import schema

        schema.check(value)
    return value


class Target(Shape):
    """One HTTP request, and how far to follow its redirects."""

    method: Annotated[str, AfterValidator(_method)] = Field("GET", description="GET, HEAD, POST ...")
    url: Url = Field(description="http:// or https://")
    headers: dict[Annotated[str, AfterValidator(_name)], HeaderText] = Field({}, description="request headers")
    query: dict[str, Text] = Field({}, description="added to the query of the URL")
    body: Annotated[str, BeforeValidator(plain)] | None = Field(None, description="request body as text")
    payload: Any = Field(None, alias="json", description="request body as JSON data")
    form: dict[str, Text] | None = Field(None, description="request body as a form")
    auth: Auth | None = Field(None, description="credentials: basic, bearer, oauth2 or aws")
    ca: str | None = Field(None, description="file or PEM text of the trust anchors, in place of the system's")
    client_cert: str | None = Field(None, description="client certificate: file or PEM text")
    client_key: KeyText | None = Field(None, description="its key: file or PEM text")
    verify: bool = Field(True, description="false: any certificate will do")
    redirects: Annotated[int, Field(ge=0, le=20)] | Literal["none"] = Field(10, description="how many are followed")
    http_version: Annotated[Literal["auto", "1.0", "1.1", "2"], BeforeValidator(_version)] = Field(
        "auto", description="`2`: HTTP/2 or nothing; `auto` is 1.1, so that what is measured does not change when a server does"
    )
    proxy: Annotated[Gate, BeforeValidator(_gated, json_schema_input_type=str | Gate)] | None = Field(
        None, description="an HTTP proxy to go through: http://host:port"
    )
    min_tls: Annotated[Literal["1.2", "1.3"], BeforeValidator(_number)] = Field(
        "1.2", description="oldest TLS version that will do"
    )
    json_schema: Annotated[dict[str, Any] | str | None, AfterValidator(_schema)] = Field(
        None, alias="schema", description="JSON Schema of the body, or a file of one; assert `schema_valid == true`"
    )
    family: Literal["any", 4, 6] = Field("any", description="4 or 6: only that IP version")

    @model_validator(mode="after")
    def _together(self) -> Self:
        given = [name for name in ("body", "json", "form") if {"json": "payload"}.get(name, name) in self.model_fields_set]
        if len(given) > 1:
            raise complain("value", f"a request has one body, but this names {' and '.join(given)}")
        if self.client_key is not None and self.client_cert is None:
            raise complain("value", "`client_key` needs `client_cert`")
        if self.auth is not None and any(name.lower() == "authorization" for name in self.headers):
            raise complain("value", "`auth` and the header authorization say the same thing twice")
        return self

    @cached_property
    def resolved(self) -> Plain:
        """The request with everything worked out once, but for a token that must be fetched."""
        version = "1.1" if self.http_version == "auto" else self.http_version
        alpn = ("h2", "http/1.1") if version == "2" else ("http/1.1",)
        return Plain(
            method=self.method,
            url=self.url,
            headers=dict(self.headers),
            query=dict(self.query),
            body=self.body,
            json=self.payload,
            has_json="payload" in self.model_fields_set,
            form=None if self.form is None else dict(self.form),
            basic=(self.auth.basic.user, self.auth.basic.password) if self.auth and self.auth.basic else None,
            bearer=self.auth.bearer if self.auth else None,
            key=self.auth.aws.key() if self.auth and self.auth.aws else None,
            policy=Policy(self.ca, self.client_cert, self.client_key, self.verify, alpn, self.min_tls),
            proxy=self.proxy.proxy() if self.proxy else None,
            redirects=0 if self.redirects == "none" else self.redirects,
            version=version,
            family=self.family,
        )

    def client(self) -> oauth.Client | None:
        """Who fetches a token for it, if it needs one."""
        wanted = self.auth.oauth2 if self.auth else None
        if wanted is None:
            return None
        return oauth.Client(
            wanted.url, wanted.client_id, wanted.client_secret, wanted.scope, wanted.audience, in_body=wanted.send == "body"
        )


def _short(text: Any) -> dict[str, Any]:
    if not isinstance(text, str):
        raise ValueError("write GET https://shop.example, or a mapping with a url")
    first, _, rest = text.strip().partition(" ")
    if re.fullmatch(r"[A-Za-z]+", first) and rest.strip():
        return {"method": first.upper(), "url": rest.strip()}
    return {"method": "GET", "url": text.strip()}


def _describe(target: Mapping[str, Any]) -> str:
    return f"{target.get('method', 'GET')} {target.get('url', '')}"


def _prepared(target: Target, context: Context) -> Callable[[Look], Awaitable[None]] | None:
    """What checks the body against the schema of the target, if it has one."""
    if target.json_schema is None:
        return None
    from probes.kinds.wire import schema

    validator = schema.prepare(target.json_schema, context.base)

    async def weigh(seen: Look) -> None:
        complaint = await schema.complaint(validator, seen.facts["body"])
        seen.facts["schema_valid"] = complaint is None
        if complaint is not None:
            seen.facts["schema_error"] = seen.evidence["schema"] = complaint

    return weigh


async def exchange(target: Target, context: Context, cookies: httpx.Cookies | None = None) -> Observation:
    """Look once at ``target``; ``cookies`` are sent, and those received are kept in it (a journey of several requests).

    Never raises, but for cancellation.
    """
    client = target.client()

    async def probe(seen: Look) -> None:
        plain, schema = target.resolved, _prepared(target, context)
        if client is not None:
            seen.token = await oauth.token(client, plain, seen)
            plain = replace(plain, bearer=seen.token)
        await follow(plain, seen, cookies)
        if client is not None and seen.facts.get("status") == 401:
            oauth.forget(client, context)
        if schema is not None:
            await schema(seen)

    return await look(context, probe)


async def probe(target: Target, context: Context) -> Observation:
    """Look once at ``target``."""
    return await exchange(target, context)


KIND = Kind(
    name="http",
    summary="One HTTP request, redirects followed, every phase timed.",
    target=Target,
    short=_short,
    example="GET https://shop.example/health",
    facts={
        "status": Fact("number", "status code of the last response"),
        "body": Fact("json", "the body: JSON where it is JSON, else text"),
        "header": Fact("map", "response headers, names in lower case"),
        "latency": Fact("duration", "connect + tls + wait + receive of all hops, as the network took it, without our own cost"),
        "total": Fact("duration", "from the start of resolve to the end, our own cost included"),
        "resolve": Fact("duration", "the name was looked up; 0 for an address or a remembered name"),
        "connect": Fact("duration", "the connection was opened (TCP)"),
        "tunnel": Fact("duration", "the part of connect that a proxy took to reach the host; only https through a proxy has it"),
        "tls": Fact("duration", "the TLS handshake"),
        "wait": Fact("duration", "from the request's first byte sent to the response's first byte"),
        "receive": Fact("duration", "from the response's first byte to its last"),
        "schema_valid": Fact("boolean", "the body fits `schema`; missing where the target names none"),
        "schema_error": Fact("text", "the first place where it does not, and how; missing where it fits"),
        "size": Fact("size", "bytes of the body as sent, before decoding"),
        "ip": Fact("text", "address that answered; the proxy's, where one is used"),
        "family": Fact("number", "4 or 6"),
        "redirects": Fact("number", "redirects that were followed"),
        "url": Fact("text", "URL that answered, after redirects"),
        "http_version": Fact("text", "1.0, 1.1 or 2"),
        "tls_version": Fact("text", "such as TLSv1.3"),
        "cipher": Fact("text", "cipher suite"),
        "verified": Fact("boolean", "the certificate was checked; false where the target says `verify: false`"),
        "chain_length": Fact("number", "certificates that the server sent"),
        "expires_in": Fact("duration", "time until the certificate expires; negative when it has"),
        "issuer": Fact("text", "who issued the certificate"),
        "subject": Fact("text", "whom the certificate is for"),
        "names": Fact("list", "names in the certificate"),
    },
    must=("status < 400",),
    probe=probe,
    describe=_describe,
)
