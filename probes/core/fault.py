"""Why nothing could be observed: a closed list of ``class.kind`` words.

Each is a field of result, event and metric, and a page of ``probes explain``. Classes name whose trouble it is:
``probe.*`` is ours (outcome ``errored``, status ``unknown``), every other class is the target's (outcome ``failed``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FAULTS: Final[dict[str, str]] = {
    "dns.nxdomain": "the name does not exist",
    "dns.no_address": "the name exists but has no address of the wanted family",
    "dns.servfail": "the name server failed to answer (SERVFAIL)",
    "dns.refused": "the name server refused the question (REFUSED)",
    "dns.timeout": "no name server answered in time",
    "dns.malformed": "the name server's answer could not be read",
    "conn.refused": "nothing listens at that address and port",
    "conn.reset": "the connection was reset by the other side",
    "conn.unreachable": "there is no route to the address",
    "conn.closed": "the other side closed the connection before it answered",
    "timeout.dns": "the deadline passed while the name was being resolved",
    "timeout.connect": "the deadline passed while the connection was being opened",
    "timeout.tls": "the deadline passed during the TLS handshake",
    "timeout.response": "the deadline passed while waiting for the response",
    "timeout.body": "the deadline passed while the body was being read",
    "tls.expired": "the certificate has expired",
    "tls.not_yet_valid": "the certificate is not valid yet",
    "tls.hostname_mismatch": "the certificate is for another name",
    "tls.self_signed": "the certificate is self-signed",
    "tls.untrusted": "the certificate's issuer is not trusted",
    "tls.weak": "the certificate's key or signature is too weak",
    "tls.protocol_version": "no common TLS version",
    "tls.no_shared_cipher": "no common cipher suite",
    "tls.client_cert_required": "the server wants a client certificate",
    "tls.not_tls": "the server does not speak TLS",
    "tls.handshake": "the TLS handshake failed",
    "http.empty_reply": "the connection was closed without a response",
    "http.malformed": "the response is not HTTP",
    "http.headers_too_large": "the response headers are above the limit",
    "http.bad_chunking": "the chunked body is malformed",
    "http.protocol": "the response breaks the HTTP protocol",
    "body.truncated": "the body ended before its announced length",
    "body.too_large": "the body is above the limit",
    "body.decode": "the body's content encoding could not be decoded",
    "redirect.loop": "the redirects go in a circle",
    "redirect.too_many": "there are more redirects than allowed",
    "redirect.invalid": "the redirect names no usable address",
    "redirect.blocked": "the redirect leaves http/https, or would carry credentials to plain http",
    "ssrf.blocked": "the address is one a probe may not visit",
    "probe.offline": "this location has no network",
    "probe.resources": "this machine ran out of a resource (descriptors, ports, memory)",
    "probe.overloaded": "this location was too busy to measure honestly",
    "probe.cancelled": "the run was cancelled",
    "probe.internal": "a defect of ours",
    "probe.secret": "a secret could not be read",
    "probe.late": "the run started too late to count",
}

ADVICE: Final[dict[str, str]] = {
    "dns.nxdomain": (
        "Look the name up yourself (`dig NAME`). If it is gone, see who changed the zone, or whether the domain's "
        "registration ran out; if it is not, compare with what this location's resolver says."
    ),
    "dns.no_address": (
        "See whether the A or AAAA record was removed, or whether the check asks for a family (IPv4, IPv6) that the name never had."
    ),
    "dns.servfail": (
        "Ask the zone's own name servers (`dig @SERVER NAME`). If they answer, look at DNSSEC (an expired signature does "
        "this) and at the resolver between."
    ),
    "dns.refused": (
        "The server does not serve this zone to you: see whether the delegation or the resolver's address changed, or "
        "its access list."
    ),
    "dns.timeout": (
        "See whether the name server is up and UDP and TCP port 53 are open to it from here. Many checks at once with "
        "this point to the resolver."
    ),
    "dns.malformed": (
        "Something that is no name server may answer there (a captive portal, a firewall). Compare with `dig @SERVER NAME`."
    ),
    "conn.refused": (
        "See whether the service runs and listens at that port and address; after a deployment, whether the port is still the same."
    ),
    "conn.reset": (
        "Look at the logs of the service and of the load balancer before it: a crash, a full accept queue or a firewall "
        "rule does this."
    ),
    "conn.unreachable": (
        "Look at routes, VPN and firewall between this location and the target. If IPv6 alone fails, the location may have no IPv6."
    ),
    "conn.closed": (
        "Look at the service's log at that minute: it crashed, restarted, or turned the connection away (a limit, an "
        "access list, plain text to a TLS port)."
    ),
    "timeout.dns": (
        "Look the name up from this location. If other names are slow as well, it is the resolver; if only this, the "
        "zone's name servers."
    ),
    "timeout.connect": (
        "Packets are dropped on the way: a firewall, a security group, a dead host behind an address, or a full accept queue."
    ),
    "timeout.tls": "The port accepts but the handshake stalls: an overloaded server, or a port that does not speak TLS.",
    "timeout.response": (
        "The service accepted and did not answer in time: look at its saturation (threads, database, queues) and at what "
        "was deployed last."
    ),
    "timeout.body": ("The answer began and stalled: look at the backend that streams it, at its size, and at the network between."),
    "tls.expired": (
        "Renew the certificate and reload the server: clients refuse it now. If it was renewed already, the server still "
        "holds the old file; check `expires_in` to be told weeks ahead."
    ),
    "tls.not_yet_valid": (
        "See the clocks of the server, of the authority and of this machine; the certificate's `not before` lies ahead."
    ),
    "tls.hostname_mismatch": (
        "See which certificate is served for this name (SNI, a default host of the load balancer), and whether the name is in it."
    ),
    "tls.self_signed": "Serve a certificate of an authority that clients trust; if it is yours on purpose, name it with `ca`.",
    "tls.untrusted": (
        "See whether the server sends its intermediate certificates, which is the usual cause; a private authority is "
        "named with `ca`."
    ),
    "tls.weak": "Issue the certificate again with a key of 2048 bits RSA or 256 bits EC at least, and a SHA-2 signature.",
    "tls.protocol_version": (
        "See which versions the server offers (`openssl s_client`): a hardening or an old appliance left none that both "
        "sides speak."
    ),
    "tls.no_shared_cipher": (
        "Compare the server's cipher list with its last change: a hardening, or a certificate of another key type, left "
        "none in common."
    ),
    "tls.client_cert_required": (
        "Give the check a client certificate if the kind takes one, or probe an address that does not ask for it."
    ),
    "tls.not_tls": ("See whether the port or the scheme is right (https to a plain port), and whether a proxy ends TLS before it."),
    "tls.handshake": ("Try `openssl s_client -connect HOST:PORT -servername HOST`, and read the server's TLS log of that minute."),
    "http.empty_reply": (
        "Look at the service's log at that minute: a worker died or was killed (memory, timeout) after it took the request."
    ),
    "http.malformed": "Something else than an HTTP server answers at that port: see the port, and the proxy before it.",
    "http.headers_too_large": "See which header grew; it is nearly always cookies or a token that is added again and again.",
    "http.bad_chunking": (
        "Look at the proxy or framework that writes the chunks; a worker that dies in the middle does this as well."
    ),
    "http.protocol": (
        "Compare the answer of the service itself with the one through the proxy, to see which of them breaks the protocol."
    ),
    "body.truncated": (
        "Look at the proxy's and the service's log for a worker that died, or a limit on size or time, in the middle of the answer."
    ),
    "body.too_large": (
        "See whether the answer should be that large (a missing page limit?). If it should, raise the check's limit, or "
        "probe something smaller."
    ),
    "body.decode": "The `content-encoding` header and the body disagree: look at the proxy or CDN that compresses.",
    "redirect.loop": "Look at the rules of http to https, of `www`, and of sign-in: two of them send to each other.",
    "redirect.too_many": "Follow them with `curl -IL URL`; let the check ask for the last address if all of them are meant.",
    "redirect.invalid": "Look at the `location` header (`curl -I URL`): it is empty, or built of a missing setting.",
    "redirect.blocked": (
        "See where it leads (`curl -I URL`). If the service now answers by plain http, that is the trouble to mend."
    ),
    "ssrf.blocked": (
        "See what the name resolves to: link-local and metadata addresses are never visited, loopback and private ones "
        "only where it is allowed. An answer that changed may be an attack."
    ),
    "probe.offline": (
        "Look at the network of this location (its route, its resolver); its results say nothing about the targets until "
        "it is back."
    ),
    "probe.resources": "Raise the limit that ran out (`ulimit -n`, memory), or run fewer checks at this location.",
    "probe.overloaded": (
        "Give this location more processor time, or fewer checks; measurements of a busy machine would be wrong, so they "
        "are not told."
    ),
    "probe.cancelled": "Nothing, if Probes was being stopped; else look at its log at that minute.",
    "probe.internal": "Keep the log of that minute and report it; the target was not judged.",
    "probe.secret": "See whether the secret's reference (`secrets:`) still exists, and whether this location may read it.",
    "probe.late": "See whether the machine slept, or is too busy for its checks; a late run would be told at the wrong time.",
}
"""What to do about each at 3 am, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: ``kind`` from :data:`FAULTS`, ``because`` one sentence of cause for the reader at 3 am."""

    kind: str
    because: str

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"{self.kind!r} is not in the list of faults")

    @property
    def ours(self) -> bool:
        """Whether the trouble is the monitor's: then it is never downtime."""
        return self.kind.startswith("probe.")
