"""From the bytes of a body to what an assertion can use: decoded, read as text, parsed as JSON; each within limits."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from typing import Any, Final, Protocol

import re2  # type: ignore[import-untyped]  # google-re2 has no stubs

from probes.kinds.wire.failure import failed
from probes.kinds.wire.http1 import BODY, Pause

ACCEPTED: Final = "gzip, deflate"
_STEP: Final = 65536
_LAYERS: Final = 3
_MARKS: Final = 250_000
"""Brackets, commas and colons of JSON that is parsed, at up to 100 bytes and 350 ns each; a longer document stays text."""
_CHARSETS: Final = re.compile(
    r"utf-?(8|16|32)(-?[lb]e)?|us-ascii|ascii|latin-?1|iso-?8859-?\d{1,2}|(windows-?|cp)12\d\d|koi8-[ru]|gbk|gb2312|gb18030|big5"
    r"|shift[-_]jis|euc-(jp|kr)",
)
_HUGE: Final = re2.compile(r"\d[eE]\+?\d{3}|\d{300}")
"""Numbers that may be above the largest float (1.8e308) and would be read as infinite."""


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


async def decode(body: bytes, encodings: Sequence[str]) -> bytes:
    """``body`` without its content encodings (outermost last, as in the header); unknown ones end the decoding.

    Raises:
        Failed: ``body.decode``, ``body.too_large``.
    """
    names = [name for name in encodings if name and name != "identity"]
    if len(names) > _LAYERS:
        raise failed("body.decode", f"the body is encoded {len(names)} times over")
    for name in reversed(names):
        if name in ("gzip", "x-gzip"):
            body = await _inflate(body, name, zlib.MAX_WBITS | 16)
        elif name == "deflate":  # RFC 9110 means zlib's format; many servers send the bare one
            zlib_format = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
            body = await _inflate(body, name, zlib.MAX_WBITS if zlib_format else -zlib.MAX_WBITS)
        else:
            break
    return body


async def _inflate(body: bytes, name: str, window: int) -> bytes:
    """Inflate in small steps, so that neither size nor time can run away."""
    out, pause = bytearray(), Pause()
    inflater: _Inflater = zlib.decompressobj(window)
    view = memoryview(body)
    pending = b""
    if not body:
        return b""
    while True:
        if not pending:
            pending, view = bytes(view[:_STEP]), view[_STEP:]
        try:
            out += inflater.decompress(pending, _STEP)
        except zlib.error as error:
            raise failed("body.decode", f"the {name} body is damaged: {error}") from error
        if len(out) > BODY:
            raise failed("body.too_large", f"the body, decoded, is above the limit of {BODY // 1024**2} MB")
        pending = inflater.unconsumed_tail
        if inflater.eof:
            rest = inflater.unused_data + bytes(view)
            if window > zlib.MAX_WBITS and rest.startswith(b"\x1f\x8b"):  # gzip allows several members in a row
                inflater, view, pending = zlib.decompressobj(window), memoryview(rest), b""
                continue
            return bytes(out)
        if not pending and not view:
            tail = inflater.decompress(b"", _STEP)
            if not tail:
                raise failed("body.decode", f"the {name} body ends too early")
            out += tail
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
