"""Credentials of an HTTP request, as they are written: exactly one sort, and no secret among them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from probes.core.kind import Shape
from probes.core.shapes import complain
from probes.kinds.wire.sigv4 import Key
from probes.kinds.wire.target import HeaderText, SecretHeader, SecretText, Text, pending
from probes.kinds.wire.url import Url

_NOT_HERE: Final = ("digest", "ntlm", "kerberos", "negotiate", "hawk")


class Basic(Shape):
    """User and password (RFC 7617)."""

    user: Text = Field(description="the user's name")
    password: SecretText = Field(description="a secret: ${{ secret.NAME }}")


class OAuth2(Shape):
    """A token for the client itself (RFC 6749, section 4.4), fetched before the request is timed, and kept while it is valid."""

    url: Url = Field(description="of the token endpoint")
    client_id: Text = Field(description="the client's name")
    client_secret: SecretText = Field(description="a secret: ${{ secret.NAME }}")
    scope: Text | None = Field(None, description="what the token is for, as the endpoint wants it")
    audience: Text | None = Field(None, description="whom the token is for, where the endpoint wants it")
    send: Literal["header", "body"] = Field("header", description="where the client's credentials go: client_secret_basic or _post")


def _region(text: str) -> str:
    if not pending(text) and not text.replace("-", "").isalnum():
        raise complain("value", f"{text[:40]!r} is not a region or service: write eu-west-1, execute-api")
    return text


class Aws(Shape):
    """A key that signs the request (AWS Signature Version 4)."""

    region: Annotated[HeaderText, AfterValidator(_region)] = Field(description="such as eu-west-1")
    service: Annotated[HeaderText, AfterValidator(_region)] = Field(description="such as execute-api, lambda, s3")
    access_key: HeaderText = Field(description="the key's id")
    secret_key: SecretText = Field(description="a secret: ${{ secret.NAME }}")
    session_token: SecretHeader | None = Field(None, description="a secret, which goes with a temporary key")

    def key(self) -> Key:
        """What signs."""
        return Key(self.access_key, self.secret_key, self.region, self.service, self.session_token)


class Auth(Shape):
    """Credentials for the ``authorization`` header: one of these."""

    basic: Basic | None = Field(None, description="user and password")
    bearer: SecretHeader | None = Field(None, description="a token: ${{ secret.NAME }}")
    oauth2: OAuth2 | None = Field(None, description="client credentials that are exchanged for a token")
    aws: Aws | None = Field(None, description="an AWS key that signs the request")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        for name in _NOT_HERE:
            if isinstance(data, dict) and name in data:
                raise complain("not-here", f"`{name}` authentication is not done here; basic, bearer, oauth2 and aws are")
        return data

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.basic, self.bearer, self.oauth2, self.aws)) != 1:
            raise complain("value", "`auth` needs exactly one of `basic`, `bearer`, `oauth2` and `aws`")
        return self
