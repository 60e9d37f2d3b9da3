"""Hosts that answer echoes as their address says, behind a TUN device in a network namespace of their own.

``unshare -rn python -m tests.servers.echoes '[["name", {"host": "10.9.9.1"}, 1.0], ...]'`` looks at each, all at once, and prints
what was seen as JSON by name; with a number of seconds behind it, the event loop is blocked for so long meanwhile. The last part
of an address says what its host does.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import struct
import subprocess
import sys
import threading
import time

from probes.core.fault import Fault
from probes.core.result import Observation
from probes.kinds.icmp import checksum
from tests.kinds.looking import see

ANSWERS, SILENT, LOSES_THE_SECOND, UNREACHABLE, LIES, REPEATS, FLOODS, SLOWER, STRANGER, LATE, FIRST_UNREACHABLE = range(1, 12)
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h


class Hosts:
    """Everything at 10.9.9.0/24 and fd09::/64."""

    def __init__(self) -> None:
        self.tun = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.tun, _TUNSETIFF, struct.pack("16sH", b"echoes", _IFF_TUN | _IFF_NO_PI))
        for command in (
            "link set lo up",
            "addr add 10.9.9.254/24 dev echoes",
            "-6 addr add fd09::fe/64 dev echoes nodad",
            "link set echoes up",
            "route add unreachable 10.8.8.0/24",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        while True:
            packet = os.read(self.tun, 65536)
            version = packet[0] >> 4
            head = 20 if version == 4 else 40
            if packet[head] == (8 if version == 4 else 128):
                threading.Thread(target=self.answer, args=(packet, version, head), daemon=True).start()

    def answer(self, packet: bytes, version: int, head: int) -> None:
        ours, theirs = (packet[12:16], packet[16:20]) if version == 4 else (packet[8:24], packet[24:40])
        echo = packet[head:]
        number = struct.unpack_from("!H", echo, 6)[0]
        how = theirs[-1]

        def send(body: bytes, source: bytes = theirs) -> None:
            os.write(self.tun, wrapped(body, source, ours))

        reply = bytes([0 if version == 4 else 129, 0, 0, 0]) + echo[4:]
        no_host = (b"\x03\x01" if version == 4 else b"\x01\x03") + bytes(6) + packet[: head + 64]
        if how == SILENT or (how == LOSES_THE_SECOND and number == 1):
            return
        if how == UNREACHABLE or (how == FIRST_UNREACHABLE and number == 0):
            send(no_host, ours[:-1] + b"\x63")
            return
        if how == LIES:
            send(reply[:8] + bytes(8) + reply[16:])  # not our mark
            send(reply[:6] + b"\x00\x63" + reply[8:])  # an echo that was never sent
            send(echo)  # a question, not an answer
            send(reply[:12])
            return
        if how == STRANGER:
            send(reply, theirs[:-1] + b"\x64")
            return
        if how == FLOODS:
            for _ in range(150):  # more than are read in one go
                send(reply[:8] + bytes(8) + reply[16:])
        time.sleep({SLOWER: 0.03 * (number + 1), LATE: 0.7}.get(how, 0))
        send(reply)
        if how == REPEATS:
            time.sleep(0.3)
            send(reply)


def wrapped(body: bytes, source: bytes, target: bytes) -> bytes:
    """An ICMP message in an IP packet, with checksums; 55 hops are left."""
    if len(source) == 4:
        body = body[:2] + checksum(body[:2] + b"\0\0" + body[4:]).to_bytes(2) + body[4:]
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 55, 1, 0) + source + target
        return head[:10] + checksum(head).to_bytes(2) + head[12:] + body
    pseudo = source + target + struct.pack("!II", len(body), 58)
    body = body[:2] + checksum(pseudo + body[:2] + b"\0\0" + body[4:]).to_bytes(2) + body[4:]
    return struct.pack("!IHBB", 6 << 28, len(body), 58, 55) + source + target + body


def told(seen: Observation) -> dict[str, object]:
    fault: Fault | None = seen.fault
    return {
        "facts": seen.facts,
        "phases": seen.phases,
        "fault": fault and fault.kind,
        "because": fault and fault.because,
        "latency": seen.latency,
        "total": seen.total,
        "clock": seen.clock,
        "evidence": seen.evidence,
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


async def main(looks: list[tuple[str, dict[str, object], float]], blocked: float = 0) -> None:
    Hosts()
    if blocked:
        asyncio.get_running_loop().call_later(0.02, time.sleep, blocked)
    seen = await asyncio.gather(*(see("icmp", target, timeout) for _, target, timeout in looks))
    print(json.dumps({name: told(one) for (name, _, _), one in zip(looks, seen, strict=True)}))


if __name__ == "__main__":
    asyncio.run(main(*map(json.loads, sys.argv[1:])))
