"""What a server's certificate says, read once per certificate."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from probes.core.units import Duration, iso

_LONGEST: Final = 20
"""Certificates of a chain that are read."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The facts of one certificate; times are epoch seconds, ``names`` its subject alternative names (DNS and IP).

    ``key``: sort and size of its public key.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    starts: float
    ends: float
    serial: str
    self_signed: bool
    key: str


@lru_cache(maxsize=512)
def read(der: bytes) -> Certificate | None:
    """The certificate in DER form, or None where it cannot be read (a hostile server may send anything)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # cryptography warns of certificates that break the standard; they are facts here
            found = x509.load_der_x509_certificate(der)
            return Certificate(
                subject=found.subject.rfc4514_string()[:1024],
                issuer=found.issuer.rfc4514_string()[:1024],
                names=_names(found),
                starts=found.not_valid_before_utc.timestamp(),
                ends=found.not_valid_after_utc.timestamp(),
                serial=f"{found.serial_number:x}"[:64],
                self_signed=found.subject == found.issuer,
                key=_key(found),
            )
    except Exception:  # whatever the parser meets in hostile bytes
        return None


def _key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):  # of a sort that the library does not know
        return "unknown"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    values = (*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)))
    return tuple(values[:200])


def facts(chain: Sequence[bytes], now: float | None = None) -> dict[str, Any]:
    """The facts of the leaf of ``chain`` (DER, leaf first): ``expires_in``, ``issuer``, ``subject``, ``names`` ..., or none."""
    leaf = read(chain[0]) if chain else None
    if leaf is None:
        return {}
    now = time.time() if now is None else now
    known = [one for one in map(read, chain[:_LONGEST]) if one is not None]
    return {
        "expires_in": Duration(round(leaf.ends - now)),
        "chain_expires_in": Duration(round(min(one.ends for one in known) - now)),
        "chain": [one.subject for one in known],
        "issuer": leaf.issuer,
        "subject": leaf.subject,
        "names": list(leaf.names),
        "self_signed": leaf.self_signed,
        "serial": leaf.serial,
        "fingerprint": hashlib.sha256(chain[0]).hexdigest(),
        "key": leaf.key,
        "chain_length": len(chain),
    }


def evidence(chain: Sequence[bytes]) -> dict[str, Any]:
    """The same for a person to read after a failure."""
    leaf = read(chain[0]) if chain else None
    if leaf is None:
        return {"unreadable": True} if chain else {}
    return dict(_evidence(leaf, len(chain)))


@lru_cache(maxsize=512)
def _evidence(leaf: Certificate, length: int) -> dict[str, Any]:
    return {
        "subject": leaf.subject,
        "issuer": leaf.issuer,
        "names": list(leaf.names[:20]),
        "not_before": iso(leaf.starts),
        "not_after": iso(leaf.ends),
        "serial": leaf.serial,
        "chain_length": length,
    }
