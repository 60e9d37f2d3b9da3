"""What really happened: the target's records, and how far what was reported is from them."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from typing import Any

RECORD = struct.Struct("=8Q")  # struct record of target.c
HEAD = 64
FIELDS = ("id", "syn", "hello", "flight", "request", "first", "last", "tls")


def urls(task: dict[str, Any]) -> list[str]:
    """Sixteen addresses for each delay, so that no run is short of local ports."""
    port = task["ports"][task["scheme"] == "https"]
    return [
        f"{task['scheme']}://127.0.0.{address}:{port}/?delay={delay}&size={task.get('size', 64)}"
        for address in range(1, 17)
        for delay in task["delays"]
    ]


class Truth:
    """The records of ``path``."""

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __getitem__(self, place: int) -> dict[str, int]:
        return dict(zip(FIELDS, RECORD.unpack_from(self._map, HEAD + place * RECORD.size), strict=True))

    @property
    def count(self) -> int:
        """How many records there are."""
        return int(struct.unpack_from("=Q", self._map)[0])

    def compare(self, told: Iterable[tuple[float | None, float | None, int]]) -> dict[str, Any]:
        """``error_ms``: reported total less the time from SYN to the last byte; ``on_top_ms``: what is shown (latency; for tools

        that know none, total) less the service's own time, which is its first TLS flight and its answer.
        """
        errors, on_top, shown = [], [], []
        for total, latency, place in told:
            seen = self[place]
            if not seen["last"]:
                continue
            service = seen["last"] - seen["request"] + (seen["flight"] - seen["hello"] if seen["flight"] else 0)
            reported = total if latency is None else latency
            if reported is not None:
                on_top.append(1e3 * reported - service / 1e6)
                shown.append(1e3 * reported)
            if total is not None and seen["syn"]:
                errors.append(abs(1e3 * total - (seen["last"] - seen["syn"]) / 1e6))
        return {"error_ms": spread(errors), "on_top_ms": spread(on_top), "shown_ms": spread(shown), "matched": len(on_top)}


def spread(values: list[float]) -> dict[str, float] | None:
    """Middle, 99th percentile and maximum."""
    ordered = sorted(values)
    if not ordered:
        return None
    return {
        name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 4)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1))
    }
