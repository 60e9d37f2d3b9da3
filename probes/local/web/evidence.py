"""What of a target and of a failed run may be shown: headers by an allow list, keys that name a secret never (S2, S3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from probes.core.secret import MASK

HEADERS: Final = frozenset(
    (
        *(
            "accept",
            "accept-encoding",
            "accept-language",
            "age",
            "cache-control",
            "connection",
            "content-encoding",
            "content-language",
        ),
        *("content-length", "content-type", "date", "etag", "expires", "host", "last-modified", "retry-after", "server"),
        *("transfer-encoding", "user-agent", "vary", "via", "x-cache", "x-request-id"),
    )
)
"""Header names whose values are shown; every other value is masked."""
_TELLING = re.compile(r"pass|pwd|secret|token|api[-_]?key|private|credential|auth|cookie|session|signature", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{\{.*?\}\}")
DEEPEST: Final = 12
LONGEST: Final = 1024
"""Most characters of one text that are shown (S2)."""


def shown_target(target: Mapping[str, Any]) -> Any:
    """A target fit to be shown: references to secrets stay (they are names), literal values in telling places are masked."""
    return _shown(target, False, 0)


def shown(evidence: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The evidence of a run by name, cut and masked."""
    return [
        (name.replace("_", " "), _shown({name: value}, False, 0)[name])
        for name, value in evidence.items()
        if value not in (None, "", [], {})
    ]


def _shown(value: Any, in_headers: bool, depth: int) -> Any:
    if depth > DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {key: _entry(str(key), item, in_headers, depth) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if in_headers:
            return [_pair(item, depth) for item in value[:200]]
        return [_shown(item, False, depth + 1) for item in value[:200]]
    if isinstance(value, str):
        text = _address(value)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
    return value


def _entry(key: str, item: Any, in_headers: bool, depth: int) -> Any:
    if in_headers and key.lower() not in HEADERS:
        return _masked(item)
    if not in_headers and _TELLING.search(key) and isinstance(item, (str, int, float)) and not isinstance(item, bool):
        return _masked(item)
    return _shown(item, key.lower() in ("headers", "header"), depth + 1)


def _pair(item: Any, depth: int) -> Any:
    """A header as ``[name, value]`` or ``"name: value"``."""
    if isinstance(item, (list, tuple)) and len(item) == 2:
        return [item[0], _entry(str(item[0]), item[1], True, depth)]
    if isinstance(item, str) and ":" in item:
        name, _, value = item.partition(":")
        return f"{name}: {_entry(name.strip(), value.strip(), True, depth)}"
    return _shown(item, False, depth + 1)


def _masked(item: Any) -> Any:
    """The mask, with the references kept: ``Bearer ${{ secret.API_TOKEN }}`` says what it is without a value."""
    references = _REFERENCE.findall(item) if isinstance(item, str) else []
    return f"{MASK} {' '.join(references)}" if references else MASK


def _address(text: str) -> str:
    """A URL without its user and password; any other text as it is."""
    if "@" not in text or "://" not in text[:12]:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if "@" not in parts.netloc:
        return text
    return urlunsplit(parts._replace(netloc=f"{MASK}@{parts.netloc.rpartition('@')[2]}"))
