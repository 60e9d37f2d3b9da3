"""A token by OAuth2 client credentials: fetched before anything is timed, kept per check until shortly before it expires.

Trouble with the endpoint is told as such. That it does not accept our credentials is ours (``probe.secret``: nothing was learnt
about the target); that it cannot be reached, or answers something else than a token, is theirs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote_plus

from probes.core.fault import Fault
from probes.core.kind import Context
from probes.kinds.wire import content
from probes.kinds.wire.exchange import Plain, follow
from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.link import Expired
from probes.kinds.wire.look import Look

_MARGIN: Final = 30.0
"""Seconds by which a token must outlive the run that is given it, for clocks differ."""
_DAY: Final = 86_400.0
_MOST: Final = 4096
_LONGEST: Final = 16_384


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks for a token, where, and for what."""

    url: str
    client_id: str
    secret: str = field(repr=False)
    scope: str | None = None
    audience: str | None = None
    in_body: bool = False

    def request(self, target: Plain) -> Plain:
        """The request for a token; it goes the same way as ``target``, but shows no client certificate and follows no redirect."""
        form = {"grant_type": "client_credentials"}
        form |= {name: text for name, text in (("scope", self.scope), ("audience", self.audience)) if text is not None}
        if self.in_body:
            form |= {"client_id": self.client_id, "client_secret": self.secret}
        return replace(
            target,
            method="POST",
            url=self.url,
            headers={"accept": "application/json"},
            query={},
            body=None,
            json=None,
            has_json=False,
            form=form,
            basic=None if self.in_body else (quote_plus(self.client_id), quote_plus(self.secret)),
            bearer=None,
            key=None,
            policy=replace(target.policy, certificate=None, key=None, alpn=("http/1.1",)),
            redirects=0,
            version="1.1",
        )


_kept: dict[tuple[str, str, Client], tuple[float, str]] = {}
"""Until when (epoch seconds) a token is good, and the token; by check, base folder and client."""


def _place(client: Client, context: Context) -> tuple[str, str, Client]:
    return context.run.partition("@")[0], context.base, client


def forget(client: Client, context: Context) -> None:
    """The target did not accept the token: the next run asks for another one."""
    _kept.pop(_place(client, context), None)


async def token(client: Client, target: Plain, seen: Look) -> str:
    """A token that will outlive this run.

    Raises:
        Failed: why there is none; the sentence says that it is about the token.
    """
    place, now = _place(client, seen.context), time.time()
    until, known = _kept.get(place, (0.0, ""))
    if now + seen.context.timeout < until:
        return known
    fetched, lasting = await _fetch(client, target, seen)
    if len(_kept) >= _MOST:
        _kept.clear()
    _kept[place] = (now + lasting - _MARGIN, fetched)
    return fetched


async def _fetch(client: Client, target: Plain, seen: Look) -> tuple[str, float]:
    """A fresh token and how long it lasts. Its own time is told in the evidence, and is in no phase of the target."""
    asking = Look(seen.context)
    asking.deadline = seen.deadline
    try:
        await follow(client.request(target), asking)
        return _read(asking.facts)
    except Failed as error:
        raise _about(client, error.fault) from error
    except Expired:
        fault = asking.ways[-1].late().fault if asking.ways else Fault("timeout.dns", "no time was left to ask for it")
        raise _about(client, fault) from None
    finally:
        for way in asking.ways:
            way.close()
        seen.evidence["token"] = {
            "url": asking.evidence.get("url", client.url),
            "ip": asking.ways[-1].ip if asking.ways else None,
            "status": asking.facts.get("status"),
            "phases_ms": {name: round(seconds * 1000, 3) for name, seconds in asking.phases.items()},
        }


def _about(client: Client, fault: Fault) -> Failed:
    return failed(fault.kind, f"no token from the token endpoint {content.snippet(client.url, 200)}: {fault.because}")


def _read(facts: Mapping[str, Any]) -> tuple[str, float]:
    status, body = facts["status"], facts.get("body")
    said = body if isinstance(body, dict) else {}
    if status in (400, 401, 403):
        reason = said.get("error")
        shown = f" ({content.snippet(reason, 60)})" if isinstance(reason, str) else ""
        raise failed("probe.secret", f"it does not accept our credentials: {status}{shown}")
    if status != 200:
        raise failed("http.protocol", f"it answered {status}")
    found, lasting, sort = said.get("access_token"), said.get("expires_in"), said.get("token_type", "bearer")
    if not isinstance(found, str) or not 0 < len(found) <= _LONGEST or not found.isascii() or not found.isprintable():
        raise failed("http.protocol", "its answer holds no `access_token` that can be sent")
    if not isinstance(sort, str) or sort.lower() != "bearer":
        raise failed("http.protocol", "its token is not one for `authorization: Bearer`")
    try:
        return found, min(float(lasting), _DAY) if isinstance(lasting, (int, float, str)) else 0.0
    except ValueError:
        return found, 0.0
