"""What a channel is, and the three things it can ask for: an HTTP request, a mail, a line of text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema

from probes.core.alert import Alert, Delivery
from probes.core.kind import Shape
from probes.core.shapes import complain

REFERENCE: Final = r"\$\{\{\s*secret\.[A-Za-z_][A-Za-z0-9_-]*\s*\}\}"
HINT: Final = "write ${{ secret.NAME }}, never the value; the name is declared under `secrets`"
FILLED: Final[dict[str, Any]] = {"filled": True}
"""Validation context of a configuration whose secrets are filled in: then, and only then, may a secret be plain text."""


@dataclass(frozen=True, slots=True)
class Http:
    """One request. ``private`` allows loopback and private addresses; ``expect``: the statuses that mean done (else any 2xx).

    ``read``: what the answer's text means, for a product that says 200 and puts the truth into the body. ``then``: a request that
    follows once this one got through; when it fails that is told, and the alert counts as delivered all the same.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    private: bool = False
    expect: frozenset[int] = frozenset()
    read: Callable[[str], Delivery] | None = None
    then: Http | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """One message (``content``: RFC 5322 bytes) for ``recipients`` through an SMTP server."""

    host: str
    port: int
    tls: Literal["starttls", "implicit", "none"]
    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Line:
    """Text for a terminal or a log, already free of control characters; it ends with a newline."""

    text: str


Request = Http | Mail | Line


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to tell people, as one value. ``probes/channels/<name>.py`` defines it as ``CHANNEL``.

    Attributes:
        name: the YAML key, equal to the file's name.
        summary: one line for the reference page.
        config: the YAML shape; fields that hold secrets are :data:`SecretText`.
        example: the configuration shown in hints and reference, as a line of YAML.
        message: pure: the request that tells an alert at ``now`` (epoch seconds).
        rate: most messages in so many seconds that the product takes, where it names a limit.
    """

    name: str
    summary: str
    config: type[Shape]
    example: str
    message: Callable[[Alert, Any, float], Request]
    rate: tuple[int, float] | None = None


def refer(text: str, info: ValidationInfo) -> str:
    """``text`` when it refers to a secret, or when secrets are filled in already. A value written out is refused."""
    if not (info.context or {}).get("filled") and not re.search(REFERENCE, text):
        raise complain("secret-reference", "this is a secret, and secrets are not written here", HINT)
    return text


def credential(text: str) -> str:
    """A filled-in key as it may stand in a header. ValueError, which does not show it: it holds what no key holds."""
    if not re.fullmatch(r"[\x21-\x7e]+", text.strip()):
        raise ValueError("the secret is no key: it is empty, or has blanks, line breaks or letters that no key has")
    return text.strip()


def refers(text: str) -> bool:
    """Whether a reference is left in ``text``, so that its value is known only when it is sent."""
    return "${{" in text


ONE_OR_MANY: Final = BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
"""Lets a list of texts be written as one text."""
SecretText = Annotated[str, AfterValidator(refer), WithJsonSchema({"type": "string", "pattern": REFERENCE})]
"""A field that may only name a secret: ``${{ secret.NAME }}``."""
