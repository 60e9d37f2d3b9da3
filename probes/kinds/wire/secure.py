"""TLS over a link, through memory: OpenSSL never touches the socket, so every wait keeps its kernel stamp."""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from typing import Any, Final

from probes.core.units import iso
from probes.kinds.wire import certificate
from probes.kinds.wire.failure import Failed, failed
from probes.kinds.wire.link import CHUNK, Link

_VERIFY: Final = {
    9: "tls.not_yet_valid",
    10: "tls.expired",
    18: "tls.self_signed",
    62: "tls.hostname_mismatch",
    64: "tls.hostname_mismatch",
    66: "tls.weak",
    67: "tls.weak",
    68: "tls.weak",
}
"""X509_V_ERR_* of openssl/x509_vfy.h; all others mean an issuer that is not trusted."""
_REASONS: Final = {
    "UNSUPPORTED_PROTOCOL": "tls.protocol_version",
    "WRONG_SSL_VERSION": "tls.protocol_version",
    "TLSV1_ALERT_PROTOCOL_VERSION": "tls.protocol_version",
    "NO_PROTOCOLS_AVAILABLE": "tls.protocol_version",
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": "tls.no_shared_cipher",
    "NO_SHARED_CIPHER": "tls.no_shared_cipher",
    "WRONG_CIPHER_RETURNED": "tls.no_shared_cipher",
    "DH_KEY_TOO_SMALL": "tls.weak",
    "EE_KEY_TOO_SMALL": "tls.weak",
    "CA_KEY_TOO_SMALL": "tls.weak",
    "CA_MD_TOO_WEAK": "tls.weak",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "tls.client_cert_required",
    "TLSV1_ALERT_UNKNOWN_CA": "tls.client_cert_required",
    "TLSV1_ALERT_ACCESS_DENIED": "tls.client_cert_required",
    "SSLV3_ALERT_BAD_CERTIFICATE": "tls.client_cert_required",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "tls.client_cert_required",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "tls.client_cert_required",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "tls.client_cert_required",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "tls.client_cert_required",
    "HTTP_REQUEST": "tls.not_tls",
    "WRONG_VERSION_NUMBER": "tls.not_tls",
}
"""What OpenSSL calls its errors, without the library's prefix."""
_DER: Final = 2  # SSL_FILETYPE_ASN1 of openssl/ssl.h, which is _ssl.ENCODING_DER
_HANDSHAKE, _ALERT = 0x16, 0x15  # content types of a TLS record (RFC 8446, section 5.1)


class Secure:
    """A TLS connection over ``link``, which it closes. Same ``put``, ``receive``, ``close`` as a link.

    Attributes:
        seconds: how long the handshake waited for the network.
        chain: the certificates the server sent (DER, leaf first), also when the handshake failed because of them.
    """

    def __init__(self, link: Link, context: ssl.SSLContext, name: str) -> None:
        self.link = link
        self.seconds = 0.0
        self.chain: tuple[bytes, ...] = ()
        self._name = name
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)
        self._mark = 0.0

    @property
    def version(self) -> str | None:
        """``TLSv1.3``."""
        return self._tls.version()

    @property
    def cipher(self) -> str | None:
        """``TLS_AES_256_GCM_SHA384``."""
        chosen = self._tls.cipher()
        return chosen[0] if chosen else None

    @property
    def alpn(self) -> str | None:
        """The protocol that was agreed on, such as ``h2``."""
        return self._tls.selected_alpn_protocol()

    async def handshake(self) -> None:
        """Shake hands; our last message stays queued, to leave together with the first :meth:`put`.

        Raises:
            Expired: the deadline passed first.
            Failed: ``tls.*``, ``conn.*``.
        """
        since, first = 0.0, True
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self.chain = self._sent_chain()
                self.link.put(self._out.read())  # the alert that tells the server why
                raise self._failure(error) from error
            else:
                self.chain = self._sent_chain()
                return
            if self._out.pending:
                since = self.link.put(self._out.read())
            data, mark = await self.link.receive()
            if not data:
                raise self._ended(first)
            if first and data[0] not in (_HANDSHAKE, _ALERT):
                shown = data[:40].decode("ascii", "replace").split("\r\n")[0]
                raise failed("tls.not_tls", f"{self.link.where} does not speak TLS; it sent {shown!r}")
            first = False
            self.seconds += max(0.0, mark - since)
            since = max(since, mark)
            self._in.write(data)

    def _ended(self, first: bool) -> Failed:
        if first:
            return failed("conn.closed", f"{self.link.where} closed the connection when TLS began")
        return failed("tls.handshake", f"{self.link.where} closed the connection during the TLS handshake")

    def _sent_chain(self) -> tuple[bytes, ...]:
        """The chain as sent, also after a failed verification. Public from Python 3.13 on; before, one step below."""
        try:
            if hasattr(self._tls, "get_unverified_chain"):
                return tuple(self._tls.get_unverified_chain())
            inner: Any = self._tls._sslobj  # type: ignore[attr-defined]  # private, see above
            return tuple(found.public_bytes(_DER) for found in inner.get_unverified_chain() or ())
        except (AttributeError, ValueError, ssl.SSLError):
            return ()

    def _failure(self, error: ssl.SSLError) -> Failed:
        reason = error.reason or ""
        if isinstance(error, ssl.SSLCertVerificationError):
            kind = _VERIFY.get(error.verify_code, "tls.untrusted")
            return failed(kind, f"the certificate of {self._name} is not accepted: {self._complaint(kind, error)}")
        said = f"{self.link.where}: {reason.replace('_', ' ').lower() or error}"
        if reason in ("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_HANDSHAKE_FAILURE"):
            if self.chain:  # it had chosen a cipher and sent its certificate, and then wanted ours
                return failed("tls.client_cert_required", f"the server wants a client certificate ({said})")
            return failed("tls.no_shared_cipher", f"the server found no common cipher suite or parameters ({said})")
        return failed(_REASONS.get(reason, "tls.handshake"), f"TLS failed with {said}")

    def _complaint(self, kind: str, error: ssl.SSLCertVerificationError) -> str:
        leaf = certificate.read(self.chain[0]) if self.chain else None
        if leaf is not None and kind == "tls.expired" and leaf.ends < time.time():
            return f"it expired at {iso(leaf.ends)}"
        if leaf is not None and kind == "tls.not_yet_valid" and leaf.starts > time.time():
            return f"it is valid from {iso(leaf.starts)} on"
        if leaf is not None and kind == "tls.hostname_mismatch":
            return f"it is for {', '.join(leaf.names[:5]) or 'no name at all'}"
        return error.verify_message.rstrip(".") + (f", issued by {leaf.issuer}" if leaf is not None else "")

    def put(self, data: bytes) -> float:
        """Encrypt and send; returns the mark before the first byte."""
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise self._failure(error) from error
        return self.link.put(self._out.read())

    async def receive(self) -> tuple[bytes, float]:
        """Some decrypted bytes and the mark of their arrival; no bytes at the end, also when it came without TLS's own good-bye.

        Raises:
            Expired: nothing came before the deadline.
            Failed: ``conn.*``, ``tls.*``.
        """
        while True:
            try:
                if self._mark or self._in.pending:  # else nothing has come since the handshake
                    return self._tls.read(CHUNK), self._mark or time.monotonic()
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b"", time.monotonic()
            except ssl.SSLError as error:
                if error.reason == "UNEXPECTED_EOF_WHILE_READING":
                    return b"", time.monotonic()
                raise self._failure(error) from error
            if self._out.pending:
                self.link.put(self._out.read())
            data, self._mark = await self.link.receive()
            if data:
                self._in.write(data)
            else:
                self._in.write_eof()

    def close(self) -> None:
        """Say good-bye, as TLS wants, to a server that is still there, and close the link."""
        if not self.link.ended:
            with suppress(ssl.SSLError, ValueError):
                self._tls.unwrap()
            if self._out.pending:
                self.link.put(self._out.read())
        self.link.close()
