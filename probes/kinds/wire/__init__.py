"""What the kinds share: names, sockets, TLS and HTTP/1, each wait timed where it ends, in the kernel.

``Transport`` is the wire behind an httpx client; it is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probes.kinds.wire.transport import Transport

__all__ = ["Transport"]


def __getattr__(name: str) -> Any:
    if name == "Transport":
        from probes.kinds.wire.transport import Transport

        return Transport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
