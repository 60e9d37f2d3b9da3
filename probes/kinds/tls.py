"""``tls``: the certificate of a server: whether it is trusted, and for how long."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from probes.core.kind import Context, Fact, Kind, Shape
from probes.core.result import Observation
from probes.kinds.wire import starttls, trust
from probes.kinds.wire.failure import Failed
from probes.kinds.wire.link import Link
from probes.kinds.wire.look import Look, look
from probes.kinds.wire.starttls import GOODBYE, Protocol
from probes.kinds.wire.target import Address, Text, split
from probes.kinds.wire.trust import Policy
from probes.kinds.wire.way import Way


class Target(Shape):
    """A port that speaks TLS, from the first byte or when it is asked to (`starttls`), and whom it should be."""

    address: Address = Field(description="host:port")
    starttls: Literal["smtp", "imap", "postgres"] | None = Field(
        None, description="the protocol in which TLS is asked for first, where the port begins in plain text"
    )
    server_name: Text | None = Field(None, description="name to ask and check for, where it is not the address's host")
    ca: str | None = Field(None, description="file or PEM text of the trust anchors, in place of the system's")
    client_cert: str | None = Field(None, description="client certificate: file or PEM text")
    client_key: str | None = Field(None, description="its key: file or PEM text")
    family: Literal["any", 4, 6] = Field("any", description="4 or 6: only that IP version")


async def probe(target: Target, context: Context) -> Observation:
    """Shake hands. A certificate that is not accepted is a fault and, with all of its facts, ``trusted == false``."""

    async def run(seen: Look) -> None:
        host, port = split(target.address)
        policy = trust.context(Policy(target.ca, target.client_cert, target.client_key), context.base)
        seen.restart()
        way = seen.way(target.family)
        try:
            if target.starttls is None:
                await way.go(host, port, policy, target.server_name)
            else:
                await _begin(target.starttls, way, policy, host, port, target.server_name)
            seen.facts["trusted"] = True
        except Failed as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                seen.facts["trusted"], seen.whole = False, True
            raise
        finally:
            seen.facts |= way.certificate()
            seen.facts |= {name: fact for name, fact in (("version", way.version), ("cipher", way.cipher)) if fact is not None}

    return await look(context, run)


async def _begin(protocol: Protocol, way: Way, policy: ssl.SSLContext, host: str, port: int, name: str | None) -> None:
    link = await way.go(host, port)
    assert isinstance(link, Link)
    await starttls.ask(protocol, way, link)
    secure = await way.secure(link, policy, name or host)
    secure.put(GOODBYE[protocol])


def _short(text: Any) -> dict[str, Any]:
    if not isinstance(text, str):
        raise ValueError("write shop.example:443, or a mapping with an address")
    return {"address": text.strip()}


def _describe(target: Mapping[str, Any]) -> str:
    return str(target.get("address", ""))


KIND = Kind(
    name="tls",
    summary="A server's certificate: whether it is trusted, and for how long.",
    target=Target,
    short=_short,
    example="shop.example:443",
    facts={
        "trusted": Fact("boolean", "whether the certificate is accepted: issuer, time, name, strength"),
        "expires_in": Fact("duration", "time until the certificate expires; negative when it has"),
        "issuer": Fact("text", "who issued the certificate"),
        "subject": Fact("text", "whom the certificate is for"),
        "names": Fact("list", "names in the certificate"),
        "self_signed": Fact("boolean", "whether the certificate names itself as its issuer"),
        "serial": Fact("text", "serial number of the certificate, in hexadecimal"),
        "fingerprint": Fact("text", "SHA-256 of the certificate, in hexadecimal"),
        "key": Fact("text", "sort and size of its key: `RSA 2048`, `EC secp256r1`, `Ed25519`"),
        "chain": Fact("list", "subjects of the certificates the server sent, its own first; at most 20"),
        "chain_length": Fact("number", "certificates the server sent"),
        "chain_expires_in": Fact(
            "duration", "time until the first of them expires; an intermediate may be before the server's own"
        ),
        "version": Fact("text", "such as TLSv1.3"),
        "cipher": Fact("text", "cipher suite"),
        "latency": Fact("duration", "connect + tls (+ wait, with `starttls`), as the network took it"),
        "total": Fact("duration", "from the start of resolve to the end, our own cost included"),
        "resolve": Fact("duration", "the name was looked up; 0 for an address or a remembered name"),
        "connect": Fact("duration", "the connection was opened (TCP)"),
        "tls": Fact("duration", "the TLS handshake"),
        "wait": Fact("duration", "the plain text before it, with `starttls`"),
        "ip": Fact("text", "address that answered"),
        "family": Fact("number", "4 or 6"),
    },
    must=("trusted == true",),
    probe=probe,
    describe=_describe,
)
