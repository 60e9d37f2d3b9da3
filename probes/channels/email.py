"""Tells people by mail, through an SMTP server (RFC 5321; STARTTLS, implicit TLS of RFC 8314, or none)."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from probes.channels.delivery.request import ONE_OR_MANY, Channel, Mail, SecretText, refers
from probes.channels.delivery.words import headline, plain, text
from probes.core.alert import Alert
from probes.core.kind import Shape
from probes.core.shapes import complain

_PORTS: Final = {"starttls": 587, "implicit": 465, "none": 25}
_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


def _address(value: str) -> str:
    if not refers(value) and not _ADDRESS.fullmatch(value):
        raise complain("value", "this is not a mail address", "write name@example.com, nothing else")
    return value


MailAddress = Annotated[str, AfterValidator(_address)]
Recipients = Annotated[
    list[MailAddress],
    Field(min_length=1, max_length=100),
    ONE_OR_MANY,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class Config(Shape):
    """``tls``: ``starttls`` (the default), ``implicit`` or ``none``; the port follows from it (587, 465, 25) unless named."""

    to: Recipients = Field(description="who gets the mail")
    sender: MailAddress = Field(alias="from", description="who sends it")
    host: Annotated[str, Field(pattern=r"^(\[?[A-Za-z0-9:._-]+\]?|.*\$\{\{.*)$")] = Field(description="the SMTP server")
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="587, 465 or 25, as `tls` asks, unless it is written"
    )
    user: str | None = Field(None, description="for a server that wants a login")
    password: SecretText | None = Field(None, description="the secret that goes with `user`")
    tls: Literal["starttls", "implicit", "none"] = Field(
        "starttls", description="`implicit`: from the first byte; `none`: only inside your own network"
    )

    @model_validator(mode="after")
    def _login(self) -> Config:
        if (self.user is None) != (self.password is None):
            raise complain("missing-key", "a login needs both `user` and `password`")
        if self.password is not None and self.tls == "none":
            raise complain("value", "a password may not travel in clear text", "write `tls: starttls` or `tls: implicit`")
        return self


def message(alert: Alert, config: Config, now: float) -> Mail:
    """One plain-text mail. All mails of an incident form one thread; a second delivery carries the same Message-ID."""
    domain = config.sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address("Probes", addr_spec=config.sender)
    mail["To"] = ", ".join(config.to)
    mail["Subject"] = plain(f"{headline(alert)} - {alert.service}", 250)
    mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    mail["Message-ID"] = _thread(alert.id, domain)
    mail["In-Reply-To"] = mail["References"] = _thread(alert.key, domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text(alert, now), charset="utf-8", cte="quoted-printable")
    port = config.port or _PORTS[config.tls]
    host = config.host.strip("[]")
    return Mail(host, port, config.tls, config.sender, tuple(config.to), mail.as_bytes(), config.user, config.password)


def _thread(key: str, domain: str) -> str:
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain}>"


CHANNEL = Channel(
    "email",
    "a mail through your SMTP server",
    Config,
    'email: {to: sre@example.com, from: probes@example.com, host: mail.example.com, user: sre, password: "${{ secret.SMTP }}"}',
    message,
)
