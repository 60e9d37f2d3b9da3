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
