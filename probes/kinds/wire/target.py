"""Parts of targets that several kinds share: addresses, trust, text that may still hold references."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from probes.core.address import screen
from probes.core.shapes import complain
from probes.kinds.wire.failure import Failed
from probes.kinds.wire.names import literal

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_REFERENCE: Final = re.compile(r"(?<!\$)\$\{\{[ \t]*(secret|step)\.")
_ADDRESS: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^:/\s\[\]@]+)):(\d{1,5})")


def pending(text: str) -> bool:
    """Whether ``text`` still holds a reference, so that it can be checked only by the run."""
    return "${{" in text


def plain(value: Any) -> Any:
    """Numbers and booleans as the text they are sent as; a reference that stands alone keeps its type until here."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def permitted(host: str) -> None:
    """Refuse a literal address that no probe may visit. Raises the diagnostic ``ssrf``."""
    try:
        address = literal(host)
    except Failed as error:
        raise complain("ssrf", str(error)) from None
    refusal = screen(address, loopback=True) if address else None
    if refusal:
        raise complain("ssrf", refusal)


def split(address: str) -> tuple[str, int]:
    """``host:port`` or ``[2001:db8::1]:port`` as host and port. Raises the diagnostic ``address``."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        hint = "put brackets around an IPv6 address: [2001:db8::1]:443" if address.count(":") > 1 else "write db.shop.example:5432"
        raise complain("address", f"{address!r} is not a host and a port", hint)
    if not 1 <= int(match[3]) <= 65535:
        raise complain("address", f"{match[3]} is not a port: ports are 1 to 65535")
    return match[1] or match[2], int(match[3])


def _address(text: str) -> str:
    if not pending(text):
        permitted(split(text)[0])
    return text


def _refers(text: str, info: ValidationInfo) -> str:
    """Refuse a secret that is written out. What is validated is either a file as written, or a target that is filled in."""
    if (info.context or {}).get("written") and not _REFERENCE.search(text):
        hint = "declare it under `secrets:` and write ${{ secret.NAME }}"
        raise complain("secret-reference", "this is a secret, and secrets are not written here", hint)
    return text


def _key(text: str, info: ValidationInfo) -> str:
    return _refers(text, info) if "-----BEGIN" in text else text


def _sendable(text: str) -> str:
    if _CONTROL.search(text):
        raise complain("value", "a header cannot hold control characters such as a line break")
    return text


Text = Annotated[str, BeforeValidator(plain)]
HeaderText = Annotated[str, BeforeValidator(plain), AfterValidator(_sendable)]
SecretText = Annotated[Text, AfterValidator(_refers)]
SecretHeader = Annotated[HeaderText, AfterValidator(_refers)]
KeyText = Annotated[str, AfterValidator(_key)]
Address = Annotated[str, AfterValidator(_address), Field(examples=["db.shop.example:5432"])]
