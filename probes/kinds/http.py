"""``http``: one HTTP request, redirects followed; each phase of it timed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

import httpx
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.core.shapes import complain
from probes.kinds.wire.exchange import METHODS, Plain, follow
from probes.kinds.wire.look import Look, look
from probes.kinds.wire.target import HeaderText, Text, pending, permitted, plain
from probes.kinds.wire.trust import Policy

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = {"connection", "content-length", "transfer-encoding", "upgrade", "te", "expect"}


def _method(text: str) -> str:
    if not pending(text) and text not in METHODS:
        raise complain("value", f"there is no method {text}", f"write one of {', '.join(METHODS)}")
    return text


def _url(text: str) -> str:
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


def _name(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise complain("value", f"{text!r} is not a header name")
    if text.lower() in _OURS:
        raise complain("value", f"the header {text} is set by the probe itself")
    return text


def _version(value: Any) -> Any:
    if value in (2, "2", "2.0", 3, "3"):
        raise complain("not-here", f"HTTP/{value} is not spoken here yet: the probe speaks HTTP/1.0 and 1.1", "remove http_version")
    return str(value) if isinstance(value, float) else value


class Basic(Shape):
    """User and password (RFC 7617)."""

    user: Text = Field(description="the user's name")
    password: Text = Field(description="a secret, as a rule")


class Auth(Shape):
    """Credentials for the ``authorization`` header: one of the two."""

    basic: Basic | None = Field(None, description="user and password")
    bearer: HeaderText | None = Field(None, description="a token")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        for name in ("digest", "ntlm", "kerberos", "negotiate", "oauth2", "aws", "sigv4"):
            if isinstance(data, Mapping) and name in data:
                raise complain("not-here", f"`{name}` authentication is not done here; basic and bearer are")
        return data

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.basic is None) == (self.bearer is None):
            raise complain("value", "`auth` needs either `basic` or `bearer`")
        return self


class Target(Shape):
    """One HTTP request, and how far to follow its redirects."""

    method: Annotated[str, AfterValidator(_method)] = Field("GET", description="GET, HEAD, POST ...")
    url: Annotated[str, AfterValidator(_url)] = Field(description="http:// or https://")
    headers: dict[Annotated[str, AfterValidator(_name)], HeaderText] = Field({}, description="request headers")
    query: dict[str, Text] = Field({}, description="added to the query of the URL")
    body: Annotated[str, BeforeValidator(plain)] | None = Field(None, description="request body as text")
    payload: Any = Field(None, alias="json", description="request body as JSON data")
    form: dict[str, Text] | None = Field(None, description="request body as a form")
    auth: Auth | None = Field(None, description="basic or bearer credentials")
    ca: str | None = Field(None, description="file or PEM text of the trust anchors, in place of the system's")
    client_cert: str | None = Field(None, description="client certificate: file or PEM text")
    client_key: str | None = Field(None, description="its key: file or PEM text")
    verify: bool = Field(True, description="false: any certificate will do")
    redirects: Annotated[int, Field(ge=0, le=20)] | Literal["none"] = Field(10, description="how many are followed")
    http_version: Annotated[Literal["auto", "1.0", "1.1"], BeforeValidator(_version)] = Field(
        "auto", description="`1.0` for servers that know nothing newer"
    )
    family: Literal["any", 4, 6] = Field("any", description="4 or 6: only that IP version")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "proxy" in data:
            raise complain("not-here", "probes do not go through a proxy: it would be the proxy's time that is measured")
        return data

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
        """The request with everything worked out, once."""
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
            policy=Policy(self.ca, self.client_cert, self.client_key, self.verify, ("http/1.1",)),
            redirects=0 if self.redirects == "none" else self.redirects,
            version="1.0" if self.http_version == "1.0" else "1.1",
            family=self.family,
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


async def exchange(target: Target, context: Context, cookies: httpx.Cookies | None = None) -> Observation:
    """Look once at ``target``; ``cookies`` are sent, and those received are kept in it (a journey of several requests).

    Never raises, but for cancellation.
    """

    async def probe(seen: Look) -> None:
        await follow(target.resolved, seen, cookies)

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
        "tls": Fact("duration", "the TLS handshake"),
        "wait": Fact("duration", "from the request's first byte sent to the response's first byte"),
        "receive": Fact("duration", "from the response's first byte to its last"),
        "size": Fact("size", "bytes of the body as sent, before decoding"),
        "ip": Fact("text", "address that answered"),
        "family": Fact("number", "4 or 6"),
        "redirects": Fact("number", "redirects that were followed"),
        "url": Fact("text", "URL that answered, after redirects"),
        "http_version": Fact("text", "1.0 or 1.1"),
        "tls_version": Fact("text", "such as TLSv1.3"),
        "cipher": Fact("text", "cipher suite"),
        "expires_in": Fact("duration", "time until the certificate expires; negative when it has"),
        "issuer": Fact("text", "who issued the certificate"),
        "subject": Fact("text", "whom the certificate is for"),
        "names": Fact("list", "names in the certificate"),
    },
    must=("status < 400",),
    probe=probe,
    describe=_describe,
)
