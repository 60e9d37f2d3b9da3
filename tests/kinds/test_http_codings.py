"""``http``: content codings, undone in small steps and within limits."""

from __future__ import annotations

import asyncio
import gzip
import random
import sys
import zlib

import brotli  # type: ignore[import-untyped]  # it has no stubs
import pytest

from probes.kinds.wire import content
from probes.kinds.wire.failure import Failed
from tests.kinds.looking import STALL, Ticks, see, url
from tests.servers.raw import Raw, answer, response

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b'{"a": "' + b"word " * 1000 + b'"}'
ZEROS = bytes(200_000_000)
WIDE = {zstd.CompressionParameter.window_log: 27}
SKIPPED = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"xyz"


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("br", brotli.compress(TEXT)),
        ("BR", brotli.compress(TEXT, quality=0)),
        ("zstd", zstd.compress(TEXT)),
        ("zstd", zstd.compress(TEXT[:9]) + zstd.compress(TEXT[9:])),
        ("zstd", SKIPPED + zstd.compress(TEXT) + SKIPPED),
        ("deflate, br", brotli.compress(zlib.compress(TEXT))),
        ("br,gzip", gzip.compress(brotli.compress(TEXT))),
        ("zstd, identity", zstd.compress(TEXT)),
    ],
)
async def test_codings(name: str, packed: bytes) -> None:
    with Raw(answer(response(packed, Content_Encoding=name))) as server:
        seen = await see("http", url(server))
    assert seen.fault is None
    assert seen.facts["body"] == {"a": "word " * 1000}
    assert seen.facts["size"] == len(packed)
    assert b"accept-encoding: gzip, deflate, br, zstd\r\n" in server.requests[0].lower()


@pytest.mark.parametrize(
    ("name", "packed", "kind"),
    [
        ("br", brotli.compress(ZEROS, quality=5), "body.too_large"),
        ("zstd", zstd.compress(ZEROS), "body.too_large"),
        ("br, gzip", gzip.compress(brotli.compress(ZEROS, quality=5)), "body.too_large"),
        ("br", brotli.compress(TEXT)[:-3], "body.decode"),
        ("br", brotli.compress(TEXT) + b"more", "body.decode"),
        ("br", b"plain text", "body.decode"),
        ("br", TEXT, "body.decode"),
        ("zstd", zstd.compress(TEXT)[:-3], "body.decode"),
        ("zstd", zstd.compress(TEXT)[:3], "body.decode"),
        ("zstd", b"plain text", "body.decode"),
        ("zstd", zstd.compress(ZEROS + b"x", options=WIDE), "body.decode"),
        ("zstd", zstd.compress(b"") * 20_000, "body.decode"),
        ("gzip", gzip.compress(b"") * 20_000, "body.decode"),
        ("zstd", SKIPPED * 20_000, "body.decode"),
    ],
)
async def test_what_is_damaged_or_a_bomb_is_a_fault_and_holds_nobody(name: str, packed: bytes, kind: str) -> None:
    ticks = Ticks()
    with Raw(answer(response(packed, Content_Encoding=name))) as server:
        ticking = asyncio.create_task(ticks.run())
        seen = await see("http", url(server))
        ticking.cancel()
    assert seen.fault is not None
    assert seen.fault.kind == kind
    assert ticks.longest < STALL


@pytest.mark.parametrize("cut", [65535, 65536, 65537, 65538, 65539])
async def test_a_further_member_is_found_wherever_it_begins(cut: int) -> None:
    """The pieces fed to the decoder are 64 KB: the marks of the second member may lie across two of them."""
    overhead = len(gzip.compress(random.Random(1).randbytes(cut - 40), 0)) - (cut - 40)
    member = gzip.compress(random.Random(1).randbytes(cut - overhead), 0)
    assert len(member) == cut
    assert (await content.decode(member + gzip.compress(b"end"), ["gzip"])).endswith(b"end")


async def test_all_of_a_body_is_decoded_whatever_the_sizes() -> None:
    for size in (1, 65535, 65536, 65537, 131_072, 1_000_000):
        for text in (bytes(size), random.Random(size).randbytes(size)):
            for name, packed in (
                ("gzip", gzip.compress(text)),
                ("deflate", zlib.compress(text)),
                ("deflate", bare(text)),
                ("br", brotli.compress(text, quality=4)),
                ("zstd", zstd.compress(text)),
            ):
                assert await content.decode(packed, [name]) == text, (name, size)
                with pytest.raises(Failed, match=r"too early|damaged"):
                    await content.decode(packed[: len(packed) // 2], [name])
