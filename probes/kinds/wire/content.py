"""From the bytes of a body to what an assertion can use: decoded, read as text, parsed as JSON; each within limits."""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import brotli  # type: ignore[import-untyped]  # it has no stubs
import re2  # type: ignore[import-untyped]  # google-re2 has no stubs

from probes.kinds.wire.failure import failed
from probes.kinds.wire.http1 import BODY, Pause

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ACCEPTED: Final = "gzip, deflate, br, zstd"
_STEP: Final = 65536
_LAYERS: Final = 3
_MEMBERS: Final = 10_000
_MARKS: Final = 250_000
"""Brackets, commas and colons of JSON that is parsed, at up to 100 bytes and 350 ns each; a longer document stays text."""
_CHARSETS: Final = re.compile(
    r"utf-?(8|16|32)(-?[lb]e)?|us-ascii|ascii|latin-?1|iso-?8859-?\d{1,2}|(windows-?|cp)12\d\d|koi8-[ru]|gbk|gb2312|gb18030|big5"
    r"|shift[-_]jis|euc-(jp|kr)",
)
_HUGE: Final = re2.compile(r"\d[eE]\+?\d{3}|\d{300}")
"""Numbers that may be above the largest float (1.8e308) and would be read as infinite."""


class _Stream(Protocol):
    """A decoder under way: it takes bytes and gives some of what they mean, never much more than :data:`_STEP` at a time."""

    @property
    def hungry(self) -> bool: ...  # it has nothing left to chew on
    @property
    def eof(self) -> bool: ...
    @property
    def rest(self) -> bytes: ...  # of the bytes it was fed, those after the end
    def feed(self, data: bytes) -> bytes: ...


class _Zlib:
    """gzip and deflate (RFC 1952, 1950, 1951), told apart by ``window``."""

    def __init__(self, window: int) -> None:
        self._inner = zlib.decompressobj(window)

    @property
    def hungry(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def rest(self) -> bytes:
        return self._inner.unused_data

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(data or self._inner.unconsumed_tail, _STEP)


class _Brotli:
    """br (RFC 7932). Its decoder refuses bytes after the end by itself."""

    rest = b""

    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    @property
    def hungry(self) -> bool:
        return bool(self._inner.can_accept_more_data())

    @property
    def eof(self) -> bool:
        return bool(self._inner.is_finished())

    def feed(self, data: bytes) -> bytes:
        return bytes(self._inner.process(data, output_buffer_limit=_STEP))


class _Zstd:
    """zstd (RFC 8878); a window above 8 MB is refused, as RFC 9659 says."""

    def __init__(self) -> None:
        self._inner = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 23})

    @property
    def hungry(self) -> bool:
        return self._inner.needs_input

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def rest(self) -> bytes:
        return self._inner.unused_data

    def feed(self, data: bytes) -> bytes:
        return self._inner.decompress(data, _STEP)


@dataclass(frozen=True, slots=True)
class _Coding:
    """How a content coding is undone; ``again``: how a further member begins that may follow the first."""

    start: Callable[[], _Stream]
    again: re.Pattern[bytes] | None = None


_GZIP: Final = _Coding(lambda: _Zlib(zlib.MAX_WBITS | 16), re.compile(rb"\x1f\x8b"))
_ZLIB, _BARE = _Coding(lambda: _Zlib(zlib.MAX_WBITS)), _Coding(lambda: _Zlib(-zlib.MAX_WBITS))
_CODINGS: Final = {
    "gzip": _GZIP,
    "x-gzip": _GZIP,
    "deflate": _ZLIB,
    "br": _Coding(_Brotli),
    "zstd": _Coding(_Zstd, re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")),  # a frame, or one to be skipped
}


async def decode(body: bytes, encodings: Sequence[str]) -> bytes:
    """``body`` without its content encodings (outermost last, as in the header); unknown ones end the decoding.

    Raises:
        Failed: ``body.decode``, ``body.too_large``.
    """
    names = [name for name in encodings if name and name != "identity"]
    if len(names) > _LAYERS:
        raise failed("body.decode", f"the body is encoded {len(names)} times over")
    for name in reversed(names):
        coding = _CODINGS.get(name)
        if coding is None:
            break
        if coding is _ZLIB and not (len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0):
            coding = _BARE  # RFC 9110 means zlib's format; many servers send the bare one
        if body:
            body = await _undo(body, name, coding)
    return body


async def _undo(body: bytes, name: str, coding: _Coding) -> bytes:
    """Decode in small steps, so that neither size nor time can run away."""
    out, pause, view, members = bytearray(), Pause(), memoryview(body), 1
    stream, fed = coding.start(), b""
    while True:
        if not fed and stream.hungry:
            fed, view = bytes(view[:_STEP]), view[_STEP:]
        try:
            made = stream.feed(fed)
        except (zlib.error, zstd.ZstdError, brotli.error) as error:
            raise failed("body.decode", f"the {name} body is damaged: {error}") from error
        out += made
        if len(out) > BODY:
            raise failed("body.too_large", f"the body, decoded, is above the limit of {BODY // 1024**2} MB")
        if stream.eof:
            fed = stream.rest
            if len(fed) < 4:  # what tells a further member may lie across two pieces
                fed, view = fed + bytes(view[:_STEP]), view[_STEP:]
            if coding.again is None or not coding.again.match(fed):
                return bytes(out)
            stream, members = coding.start(), members + 1
            if members > _MEMBERS:
                raise failed("body.decode", f"the {name} body is made of more than {_MEMBERS:,} parts")
        elif not made and not fed and not view and stream.hungry:
            raise failed("body.decode", f"the {name} body ends too early")
        else:
            fed = b""
        await pause()


def read(body: bytes, content_type: str | None) -> str:
    """``body`` as text, in the charset it names where that is a common one, else UTF-8; what cannot be read becomes U+FFFD."""
    match = re.search(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", content_type or "", re.IGNORECASE)
    charset = match[1].lower() if match and _CHARSETS.fullmatch(match[1].lower()) else "utf-8"
    try:
        found = body.decode(charset, "replace")
    except (LookupError, UnicodeError):
        found = body.decode("utf-8", "replace")
    return found.removeprefix("\ufeff")


def parse(content: str, content_type: str | None) -> Any:
    """``content`` as JSON where it says it is or looks like it, and can be parsed within limits; else the text itself."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if not (kind.endswith(("/json", "+json")) or content.lstrip()[:1] in ("{", "[")):
        return content
    if sum(map(content.count, "[{,:")) > _MARKS:
        return content
    try:
        number = _finite if _HUGE.search(content) else None
        found = json.loads(content, parse_constant=_not_json, parse_float=number)
        if "\\ud" in content or "\\uD" in content:  # half a surrogate pair cannot be written as UTF-8 by anyone downstream
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return content
    return found


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large")
    return number


_INVISIBLE: Final = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]"  # what drives a terminal
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # control characters, but for tab and line feed
    r"|[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"  # what hides, turns or cannot be written
)


def snippet(content: str, limit: int = 1024) -> str:
    """The first ``limit`` characters, without those that act on a terminal or hide."""
    piece = content[: limit + 256]
    return piece[:limit] if piece.isprintable() else _INVISIBLE.sub("", piece.replace("\r\n", "\n"))[:limit]
