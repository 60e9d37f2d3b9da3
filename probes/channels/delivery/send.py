"""The one way an alert leaves: connect only where allowed, wait only so long, classify the answer, redact what is told about it.

Delivered: the receiver accepted. Retry: it may accept later (network, 408, 429, 5xx; SMTP 4yz). Permanent: it never will
(any other answer). Redirects are not followed: a receiver could send our message, signature included, to a place we screen out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import aiosmtplib
import certifi
import httpcore
from pydantic import ValidationError

from probes.channels.delivery.request import FILLED, Channel, Http, Line, Mail
from probes.channels.delivery.words import plain
from probes.core.address import public, screen
from probes.core.alert import Alert, Delivery
from probes.core.secret import scrub

CONNECT: Final = 5.0
"""Seconds to resolve and connect."""
TOTAL: Final = 10.0
"""Seconds for everything: one slow receiver costs no more."""
LONGEST_WAIT: Final = 3600.0
"""Seconds of a Retry-After that are honoured; a receiver may slow us down, not switch us off."""
_ANSWER: Final = 65_536
"""Bytes of an answer that are looked at: Slack repeats the message in it."""


class Refused(Exception):
    """The alert cannot be sent this way, now or later; the text says why and shows no value."""


async def deliver(
    kind: str,
    config: Mapping[str, Any],
    alert: Alert,
    now: float,
    *,
    channel: Channel | None,
    secrets: Iterable[str] = (),
    write: Callable[[str], None] | None = None,
) -> Delivery:
    """One attempt to tell one channel; never raises. See :func:`probes.channels.send`."""
    hidden = {value for value in secrets if value}
    try:
        if channel is None:
            return Delivery("permanent", f"there is no channel `{plain(kind, 60)}` in this version")
        request = _request(channel, config, alert, now)
        async with asyncio.timeout(TOTAL):
            match request:
                case Line():
                    (write or sys.stderr.write)(request.text)
                    delivery = Delivery("delivered", "written")
                case Mail():
                    hidden |= {request.password} if request.password else set()
                    delivery = await _mail(request)
                case Http():
                    hidden |= _parts(request.url)
                    delivery = await _http(request, now)
        if isinstance(request, Http) and request.then is not None and delivery.outcome == "delivered":
            delivery = await _also(request.then, delivery, now)
    except Refused as refused:
        delivery = Delivery("permanent", str(refused))
    except TimeoutError:
        delivery = Delivery("retry", f"no answer within {TOTAL:g} s")
    except Exception as error:  # a defect of ours, or of a library, must not lose the alert
        delivery = Delivery("retry", f"{type(error).__name__}: {error}")
    return replace(delivery, detail=plain(scrub(delivery.detail, hidden), 400))


def _request(channel: Channel, config: Mapping[str, Any], alert: Alert, now: float) -> Http | Mail | Line:
    try:
        return channel.message(alert, channel.config.model_validate(dict(config), context=FILLED), now)
    except ValidationError as error:
        told = error.errors(include_input=False, include_url=False)
        places = "; ".join(f"`{'.'.join(map(str, one['loc']))}`: {one['msg']}" for one in told)
        raise Refused(f"the configuration of {channel.name} cannot be used: {places}") from None
    except ValueError as error:
        raise Refused(f"the configuration of {channel.name} cannot be used: {error}") from None


def _parts(url: str) -> set[str]:
    """What of an address may be a secret: all of it, its path and query, and each long part of them."""
    parts = urlsplit(url)
    below = parts.path + (f"?{parts.query}" if parts.query else "")
    long = {part for part in re.split(r"[/?&=]", below) if len(part) >= 8}
    return long | ({below} if len(below) >= 8 else set()) | {url}


# HTTP


async def _http(request: Http, now: float) -> Delivery:
    host = urlsplit(request.url).hostname or ""
    headers = {
        "host": urlsplit(request.url).netloc,
        "user-agent": "probes",
        "accept": "*/*",
        "connection": "close",
        **request.headers,
    }
    timeout = {"connect": CONNECT, "read": TOTAL, "write": TOTAL, "pool": CONNECT}
    pool = httpcore.AsyncConnectionPool(ssl_context=trust(), network_backend=_Screened(request.private))
    try:
        async with (
            pool,
            pool.stream(
                request.method, request.url, headers=list(headers.items()), content=request.content, extensions={"timeout": timeout}
            ) as response,
        ):
            with contextlib.suppress(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, TimeoutError):
                return classify(request, response, await _head(response), now)
            return classify(request, response, "", now)
    except (httpcore.ConnectTimeout, httpcore.PoolTimeout):
        return Delivery("retry", f"no connection to {host} within {CONNECT:g} s")
    except httpcore.TimeoutException:
        return Delivery("retry", f"{host} did not answer within {TOTAL:g} s")
    except httpcore.NetworkError as error:
        return Delivery("retry", f"{host}: {_cause(error)}")
    except httpcore.ProtocolError:
        return Delivery("retry", f"{host} did not answer in HTTP")


async def _also(request: Http, delivery: Delivery, now: float) -> Delivery:
    """What follows a message that got through; nothing that happens here sends that one again."""
    try:
        async with asyncio.timeout(CONNECT):
            second = await _http(request, now)
    except Exception as error:
        second = Delivery("retry", str(error) or f"no answer within {CONNECT:g} s")
    return delivery if second.outcome == "delivered" else replace(delivery, detail=f"{delivery.detail}; but then: {second.detail}")


async def _head(response: httpcore.Response) -> str:
    """The start of the answer's text, waited for no longer than a second: the status has already decided."""
    content = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            async for part in response.aiter_stream():
                content += part
                if len(content) >= _ANSWER:
                    break
    return content[:_ANSWER].decode("utf-8", "replace").strip()


def classify(request: Http, response: httpcore.Response, answer: str, now: float) -> Delivery:
    """What the status means for the alert, with the receiver's own words and wish to wait."""
    status = response.status
    said = f"{status} {answer}".strip()
    if status in request.expect or (200 <= status < 300 and not request.expect):
        return request.read(answer) if request.read else Delivery("delivered", said)
    if status in {408, 429} or status >= 500:
        headers = {name.lower(): value for name, value in response.headers}
        return Delivery("retry", said, retry_after(headers.get(b"retry-after", b"").decode("latin-1"), now))
    if 200 <= status < 300:
        return Delivery("retry", f"{said} (something else than the receiver answered: expected {min(request.expect)})")
    if 300 <= status < 400:
        return Delivery("permanent", f"{status}: redirects are not followed; configure the final address")
    return Delivery("permanent", said)


def retry_after(text: str, now: float) -> float | None:
    """Seconds to wait from a Retry-After header (RFC 9110 section 10.2.3: seconds, or a date), at most :data:`LONGEST_WAIT`."""
    text = text.strip()
    if re.fullmatch(r"\d{1,12}", text):
        return min(float(text), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds()), LONGEST_WAIT)


class _Screened(httpcore.AsyncNetworkBackend):
    """Resolves once, screens every address, connects to one that passed. TLS and Host keep the name."""

    def __init__(self, private: bool) -> None:
        self._private = private
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the backend's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                return await self._connect(host, port, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None

    async def _connect(self, host: str, port: int, options: Iterable[httpcore.SOCKET_OPTION] | None) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError(f"the name {host} has no address")
        try:
            addresses = await screened(host, port, private=self._private)
        except socket.gaierror as error:
            raise httpcore.ConnectError(f"the name {host} could not be resolved") from error
        for address in addresses:
            try:
                return await self._sockets.connect_tcp(address, port, socket_options=options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


# Mail


async def _mail(request: Mail) -> Delivery:
    try:
        async with asyncio.timeout(CONNECT):
            connection = await _connected(request)
    except TimeoutError:
        return Delivery("retry", f"no connection to {request.host} within {CONNECT:g} s")
    except socket.gaierror:
        return Delivery("retry", f"the name {request.host} could not be resolved")
    except OSError as error:
        return Delivery("retry", f"{request.host}: {_cause(error)}")
    client = aiosmtplib.SMTP(
        hostname=request.host,
        sock=connection,
        use_tls=request.tls == "implicit",
        start_tls=request.tls == "starttls",
        tls_context=None if request.tls == "none" else trust(),
        username=request.user,
        password=request.password,
        local_hostname=re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "localhost",
        timeout=TOTAL,
    )
    try:
        async with client:
            refused, answer = await client.sendmail(request.sender, list(request.recipients), request.content)
    except aiosmtplib.SMTPRecipientsRefused as error:
        first = error.recipients[0]
        return Delivery(
            "retry" if any(400 <= one.code < 500 for one in error.recipients) else "permanent", f"{first.code} {first.message}"
        )
    except aiosmtplib.SMTPResponseException as error:
        return Delivery("permanent" if 500 <= error.code < 600 else "retry", f"{error.code} {error.message}")
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        return Delivery("retry", f"{request.host}: {_cause(error)}")
    finally:
        client.close()
    if refused:
        some = ", ".join(f"{name} ({response.code} {response.message})" for name, response in refused.items())
        return Delivery("delivered", f"{answer}; but refused for {some}")
    return Delivery("delivered", answer)


async def _connected(request: Mail) -> socket.socket:
    """A connected socket to the mail server; mail servers of one's own network are the rule, metadata addresses never are."""
    failure: OSError = OSError("the name has no address")
    for address in await screened(request.host, request.port, private=True):
        connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (address, request.port))
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure


# Where to, and whom to trust


async def screened(host: str, port: int, *, private: bool) -> list[str]:
    """The addresses of the name that may be visited, in the resolver's order. Raises Refused when there are only others."""
    addresses = await _resolve(host, port)
    reasons = {address: screen(address, loopback=True) if private else public(address) for address in addresses}
    allowed = [address for address, reason in reasons.items() if reason is None]
    if reasons and not allowed:
        raise Refused(f"nothing is sent to {host}: {next(iter(reasons.values()))}")
    return allowed


async def _resolve(host: str, port: int) -> list[str]:
    """The system's answer, from a thread that nobody waits for at exit (a hanging name server must not hold up Ctrl-C)."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str] | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or [])

    def ask() -> None:
        found, trouble = None, None
        try:
            found = list(dict.fromkeys(str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            trouble = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
        with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(settle, found, trouble)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    return await answer


def trust() -> ssl.SSLContext:
    """The platform's trust anchors (SSL_CERT_FILE and SSL_CERT_DIR honoured), or certifi's where the platform has none."""
    return _trust(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _trust(file: str | None, folder: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        context.load_verify_locations(certifi.where())
    return context


def _cause(error: BaseException) -> str:
    """The reason below a library's exception, in the system's words."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, OSError) and one.errno is not None:  # anyio wraps the system's own error in one without a number
            if isinstance(one, ssl.SSLCertVerificationError):
                return f"its certificate is not trusted: {one.verify_message}"
            if isinstance(one, ssl.SSLError):
                return f"TLS failed: {one.reason or one}"
            return (os.strerror(one.errno) if one.errno > 0 else str(one)).lower()
    return next((str(one) for one in chain if str(one)), type(error).__name__)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(12):
        if seen is None:
            return
        if isinstance(seen, BaseExceptionGroup):
            yield from (leaf for one in seen.exceptions for leaf in _chain(one))
        yield seen
        seen = seen.__cause__ or seen.__context__
