"""TLS policies: one shared context each, built outside every timed section (a bundle of anchors takes 20 ms to read)."""

from __future__ import annotations

import os
import re
import ssl
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import certifi

from probes.kinds.wire.failure import OURS, failed


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom to believe and who to be.

    Attributes:
        ca: PEM text, or a file (or hashed folder) of trust anchors in place of the system's.
        certificate: PEM text or file of the client certificate, with ``key`` in it or apart.
        verify: whether the server's certificate must be trusted.
        alpn: protocols offered.
        oldest: TLS version that will do, ``1.2`` or ``1.3``.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True
    alpn: tuple[str, ...] = ()
    oldest: str = "1.2"


def context(policy: Policy, base: str = ".") -> ssl.SSLContext:
    """The shared context of ``policy``; relative files start from ``base``. A file that was changed is read again.

    Raises:
        Failed: ``probe.internal``, when a file of the policy cannot be used.
    """
    stamp = tuple(_stamp(base, text) for text in (policy.ca, policy.certificate, policy.key))
    environment = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    return _build(policy, base, stamp, environment)


def _stamp(base: str, text: str | None) -> int:
    if text is None or _inline(text):
        return 0
    try:
        return Path(base, text).stat().st_mtime_ns
    except OSError:
        return -1


def _inline(text: str) -> bool:
    return "-----BEGIN " in text


@lru_cache(maxsize=256)
def _build(policy: Policy, base: str, stamp: tuple[int, ...], environment: tuple[str | None, ...]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3 if policy.oldest == "1.3" else ssl.TLSVersion.TLSv1_2
    made.hostname_checks_common_name = False  # RFC 6125: only subject alternative names count
    made.post_handshake_auth = True
    if policy.alpn:
        made.set_alpn_protocols(list(policy.alpn))
    if not policy.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif policy.ca is None:
        _system_anchors(made)
    else:
        made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # an anchor that was named counts, root or not
        _anchors(made, policy.ca, base)
    if policy.certificate is not None:
        _identity(made, policy.certificate, policy.key, base)
    return made


def _system_anchors(made: ssl.SSLContext) -> None:
    """SSL_CERT_FILE and SSL_CERT_DIR where set; else a hashed folder, of which only what is needed is read; else a bundle."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file or folder:
        try:
            made.load_verify_locations(cafile=file or None, capath=folder or None)
        except (OSError, ssl.SSLError) as error:
            raise failed(_whose(error), f"SSL_CERT_FILE or SSL_CERT_DIR cannot be read ({file or folder}): {error}") from error
        return
    paths = ssl.get_default_verify_paths()
    if paths.capath and _hashed(paths.capath):
        made.load_verify_locations(capath=paths.capath)
    elif paths.cafile:
        made.load_verify_locations(cafile=paths.cafile)
    else:
        made.load_verify_locations(cafile=certifi.where())


def _whose(error: Exception) -> str:
    return "probe.resources" if isinstance(error, OSError) and error.errno in OURS else "probe.internal"


def _hashed(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(re.fullmatch(r"[0-9a-f]{8}\.\d+", entry.name) for entry in entries)
    except OSError:
        return False


def _anchors(made: ssl.SSLContext, ca: str, base: str) -> None:
    try:
        if _inline(ca):
            made.load_verify_locations(cadata=ca)
            return
        path = Path(base, ca)
        made.load_verify_locations(**{"capath" if path.is_dir() else "cafile": str(path)})
    except (OSError, ssl.SSLError) as error:
        name = "the text under `ca`" if _inline(ca) else f"`ca` {ca}"
        raise failed(_whose(error), f"{name} cannot be used as trust anchors: {error}") from error


def _identity(made: ssl.SSLContext, certificate: str, key: str | None, base: str) -> None:
    """Load the client certificate. OpenSSL reads it from files only, so text passes through one that is gone at once."""
    given = [text for text in (certificate, key) if text is not None]
    try:
        with tempfile.TemporaryDirectory(dir=_memory()) as folder:
            files = []
            for index, text in enumerate(given):
                path = Path(folder, str(index)) if _inline(text) else Path(base, text)
                if _inline(text):
                    path.touch(mode=0o600)
                    path.write_text(text, encoding="ascii")
                files.append(str(path))
            made.load_cert_chain(files[0], files[1] if len(files) > 1 else None, _no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise failed(_whose(error), f"`client_cert` and `client_key` cannot be used: {error}") from error


def _memory() -> str | None:
    """A folder that is never on a disk, where there is one."""
    folder = "/dev/shm"  # noqa: S108  # the folder made in it is private (mode 0700)
    return folder if sys.platform == "linux" and os.access(folder, os.W_OK) else None


def _no_password() -> str:
    raise ValueError("the key is encrypted; give it without a passphrase")
