"""Who may do what to the page: one middleware, one table of rights, one set of response headers.

A page that listens on loopback is still reached by every web page that its reader visits, so loopback is no defence:

- Host must be a name this server was bound to; a rebound DNS name is refused (421).
- A request that a browser marks as coming from another site or another port (``Sec-Fetch-Site``, ``Origin``) is refused, except for
  opening a page by a link.
- A change needs the service's token (``Authorization: Bearer``), or a signed ``SameSite=Strict`` cookie and the token of a form.
- Bound to anything but loopback, reading needs the same; people sign in once with the service's token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from probes.local.web import Service

Right = Literal["open", "read", "change", "beat"]
COOKIE: Final = "probes"
FIELD: Final = "token"
SESSION: Final = 7 * 86400
BODY: Final = 64 * 1024
"""Most bytes of a request body that are read."""

CSP: Final = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data:",  # plotly draws its camera button's picture from a data address
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)
HEADERS: Final = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # no-referrer would make browsers send `Origin: null` with our own forms
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Refused(Exception):
    """A request that may not be answered: ``status``, and one sentence for the person who sent it."""

    def __init__(self, status: int, because: str) -> None:
        super().__init__(because)
        self.status = status
        self.because = because


@dataclass(frozen=True, slots=True)
class Keys:
    """What the page hands out and takes back, all derived from the service's token and so ended by a new one."""

    token: str

    def _mac(self, text: str) -> str:
        return hmac.new(self.token.encode(), text.encode(), hashlib.sha256).hexdigest()

    @property
    def form(self) -> str:
        """The token that a form of ours carries. A page of another origin cannot read it."""
        return self._mac("form")

    def session(self, until: int) -> str:
        """The cookie of a reader, good until ``until`` (epoch seconds)."""
        return f"{until}.{self._mac(f'session {until}')}"

    def good(self, cookie: str, now: float) -> bool:
        """Whether the cookie was signed by us and has not run out."""
        until, _, _ = cookie.partition(".")
        return (
            until.isascii()
            and until.isdigit()
            and len(until) < 12
            and self.same(cookie, self.session(int(until)))
            and now < int(until)
        )

    def same(self, given: str, wanted: str) -> bool:
        """Equality that takes as long for a near miss as for a far one."""
        return hmac.compare_digest(given.encode(), wanted.encode())


def is_loopback(host: str) -> bool:
    """Whether a server bound to that address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Guard:
    """The middleware. ``rights`` says for each route what it takes; a path without a route takes ``read``."""

    def __init__(self, app: ASGIApp, service: Service, host: str, routes: list[Route], rights: Mapping[str, Right]) -> None:
        self.app = app
        self.service = service
        self.host = host.strip("[]").lower()
        self.public = not is_loopback(host)
        self.routes = routes
        self.rights = rights
        self.names = {"127.0.0.1", "localhost", "::1", self.host}
        if self.host in ("0.0.0.0", "::"):  # noqa: S104 - the address is compared, not bound
            self.names.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer why not."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # a web socket is never accepted: the server closes it with 403
        request = Request(scope, receive)
        keys = Keys(self.service.token)
        cookie = _cookie(request.headers)
        session = keys.good(cookie, time.time())
        fresh: str | None = None

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                if fresh:
                    headers.append("set-cookie", fresh)
            await send(message)

        try:
            right = self.right(scope)
            self._host(request.headers)
            self._origin(request, right)
            bearer = self._bearer(request.headers, keys)
            if right == "change" and not bearer:
                receive = await self._form(request, receive, keys, session)
            elif self.public and right in ("read", "beat") and not bearer and not (right == "read" and session):
                if right == "read" and "text/html" in request.headers.get("accept", "") and request.method in ("GET", "HEAD"):
                    await RedirectResponse(f"/login?next={quote(request.url.path)}", 303)(scope, receive, answer)
                    return
                raise Refused(401, "Sign in first, or send `Authorization: Bearer` with the service's token.")
            if not self.public and right == "read" and not session and not bearer:
                fresh = bake(keys, request)
        except Refused as refused:
            await self.refuse(request, refused)(scope, receive, answer)
            return
        scope["probes.form_token"] = keys.form
        await self.app(scope, receive, answer)

    def right(self, scope: Scope) -> Right:
        """What the route of this request takes."""
        for route in self.routes:
            if route.matches(scope)[0] is not Match.NONE:
                return self.rights[route.name]
        return "read"

    def refuse(self, request: Request, refused: Refused) -> Response:
        """The answer to a refused request, with nothing in it that the sender chose."""
        if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"error": refused.because}, refused.status)
        return Response(f"{refused.because}\n", refused.status, media_type="text/plain")

    def _host(self, headers: Headers) -> None:
        host = headers.get("host", "")
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            name = ""
        if name in self.names or (self.host in ("0.0.0.0", "::") and _is_address(name)):  # noqa: S104 - compared, not bound
            return
        raise Refused(421, f"This server does not answer to that name. Open it as http://{self.host}, the address it is bound to.")

    def _origin(self, request: Request, right: Right) -> None:
        site = request.headers.get("sec-fetch-site", "none")
        link = request.headers.get("sec-fetch-mode") == "navigate" and request.method == "GET"
        if site not in ("none", "same-origin") and not (link and right in ("open", "read")):
            raise Refused(403, "A page of another site may not use this one through your browser.")
        origin = request.headers.get("origin")
        if origin is None or (origin == "null" and link and right in ("open", "read")):
            return
        try:
            parts = urlsplit(origin)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or parts.netloc.lower() != request.headers.get("host", "").lower():
            raise Refused(403, "A page of another origin may not use this one through your browser.")

    def _bearer(self, headers: Headers, keys: Keys) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if not given:
            return False
        if scheme.lower() == "bearer" and keys.same(given.strip(), self.service.token):
            return True
        raise Refused(401, "The token is not this service's. It is new at every start; up.json in the data folder has it.")

    async def _form(self, request: Request, receive: Receive, keys: Keys, session: bool) -> Receive:
        """Check cookie and form token, and give back a ``receive`` that tells the body once more."""
        if not session:
            raise Refused(401, "Send `Authorization: Bearer` with the service's token, or use the buttons on the page.")
        body = await read(request)
        given = request.headers.get("x-probes-token") or fields(request, body).get(FIELD, "")
        if not keys.same(given, keys.form):
            raise Refused(403, "The form is out of date: open the page again and repeat.")

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        return again


def bake(keys: Keys, request: Request) -> str:
    """The Set-Cookie line of a new session."""
    secure = "; Secure" if request.url.scheme == "https" else ""
    cookie = keys.session(int(time.time()) + SESSION)
    return f"{COOKIE}={cookie}; Path=/; Max-Age={SESSION}; HttpOnly; SameSite=Strict{secure}"


async def read(request: Request) -> bytes:
    """The body, bounded. Raises :class:`Refused` above :data:`BODY` bytes."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY:
            raise Refused(413, f"The request is above {BODY // 1024} KB.")
    return body


def fields(request: Request, body: bytes) -> dict[str, str]:
    """The fields of a form body; empty for any other sort."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return {}
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise Refused(400, "The form could not be read.") from None


def _cookie(headers: Headers) -> str:
    try:
        jar: SimpleCookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
