"""From what went wrong (errno, OpenSSL's reason) to a fault of the closed list, in one sentence for the reader at 3 am."""

from __future__ import annotations

import errno
import os
from typing import Final

from probes.core.fault import Fault

OURS: Final = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.EADDRNOTAVAIL,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EAGAIN,
        errno.EPERM,
        errno.EACCES,
    }
)
"""Errors of a socket call that speak of this machine (descriptors, ports, memory, a local firewall), never of the target."""
_CONNECTION: Final = {
    errno.ECONNREFUSED: ("conn.refused", "nothing listens at {where} (connection refused)"),
    errno.ECONNRESET: ("conn.reset", "{where} reset the connection"),
    errno.EPIPE: ("conn.reset", "{where} reset the connection"),
    errno.ECONNABORTED: ("conn.reset", "the connection to {where} was aborted"),
    errno.ENETUNREACH: ("conn.unreachable", "no route to {where} (network unreachable)"),
    errno.EHOSTUNREACH: ("conn.unreachable", "no route to {where} (host unreachable)"),
    errno.ENETDOWN: ("conn.unreachable", "no route to {where} (network down)"),
    errno.EHOSTDOWN: ("conn.unreachable", "no route to {where} (host down)"),
    errno.EADDRNOTAVAIL: ("probe.resources", "this machine has no free local port for {where}"),
    errno.EAFNOSUPPORT: ("conn.unreachable", "this machine does not speak the address family of {where}"),
    errno.ETIMEDOUT: ("timeout.connect", "{where} did not answer (the system gave up)"),
    errno.EINVAL: ("conn.unreachable", "{where} is not an address one can connect to"),
}
_WAITS: Final = {
    "resolve": ("timeout.dns", "the name was not resolved"),
    "connect": ("timeout.connect", "no connection"),
    "tls": ("timeout.tls", "the TLS handshake was not finished"),
    "wait": ("timeout.response", "no response"),
    "receive": ("timeout.body", "the body was not finished"),
}


class Failed(Exception):
    """A probe's way could not be gone to its end; ``fault`` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.because)
        self.fault = fault


def failed(kind: str, because: str) -> Failed:
    """A :class:`Failed` of that kind."""
    return Failed(Fault(kind, because))


def system(error: OSError, where: str) -> Failed:
    """The failure an operating system's error means for ``where`` (``10.0.0.7:443``)."""
    number = error.errno or 0
    if number in _CONNECTION:
        kind, words = _CONNECTION[number]
        return failed(kind, words.format(where=where))
    name = errno.errorcode.get(number, str(number))
    reason = os.strerror(number) if number else str(error)
    if number in OURS:
        return failed("probe.resources", f"this machine could not open or use a socket to {where}: {reason} ({name})")
    return failed("conn.closed", f"the connection to {where} failed: {reason} ({name})")


def late(phase: str, where: str, seconds: float) -> Failed:
    """The deadline passed in ``phase`` (of :data:`~probes.core.result.PHASES`) after ``seconds`` of the whole run."""
    kind, words = _WAITS[phase]
    return failed(kind, f"{words} within {seconds:g}s ({where})")
