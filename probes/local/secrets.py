"""The laptop's Secrets: the environment, ``.env`` beside the configuration, and files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from probes.core.secret import Secret
from probes.ports import SecretUnavailable

FRESH: Final = 300.0
"""Seconds a value is used before it is read again."""
LARGEST: Final = 65536
"""Bytes of a secret, as in AWS Secrets Manager."""


class LocalSecrets:
    """The Secrets port for a configuration in the folder ``base``.

    ``env:NAME`` is the environment variable, else the line in ``.env`` (which is not exported to anyone). ``file:path`` starts
    from ``base``; one newline at its end is not part of the value. ``ssm:`` and ``secretsmanager:`` live on AWS: here their value
    is looked for like ``env:``, under the name that ``secrets:`` gives them.

    Args:
        base: folder of the configuration.
        secrets: the plan's ``secrets``: references by name.
        clock: seconds, for how long a value is kept.
    """

    def __init__(self, base: Path, secrets: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        self._base = base
        self._names = {reference: name for name, reference in secrets.items()}
        self._clock = clock
        self._kept: dict[str, tuple[float, Secret]] = {}

    async def get(self, reference: str) -> Secret:
        """See :class:`probes.ports.Secrets`."""
        until, secret = self._kept.get(reference, (0.0, None))
        if secret is None or self._clock() >= until:
            secret = Secret(self._names.get(reference, reference), self._read(reference))
            self._kept[reference] = (self._clock() + FRESH, secret)
        return secret

    def _read(self, reference: str) -> str:
        scheme, _, rest = reference.partition(":")
        name = self._names.get(reference, rest)
        if scheme == "file":
            return self._file(name, rest)
        if scheme == "env":
            return self._variable(rest, f"secret {name} ({reference})")
        if scheme in ("ssm", "secretsmanager"):
            return self._variable(name, f"secret {name} ({reference}) lives on AWS, which is not read from here:")
        raise SecretUnavailable(f"secret {name}: {scheme}: is not a place this version reads secrets from")

    def _variable(self, name: str, what: str) -> str:
        value = os.environ.get(name)
        if value is None:
            value = self._dotenv().get(name)
        if value is None:
            raise SecretUnavailable(f"{what} set the environment variable {name}, or write {name}=… in {self._base / '.env'}")
        if not value:
            raise SecretUnavailable(f"{what} {name} is set but empty")
        return value

    def _dotenv(self) -> Mapping[str, str | None]:
        try:
            return dotenv_values(self._base / ".env", interpolate=False)
        except (OSError, UnicodeDecodeError) as error:
            raise SecretUnavailable(f"{self._base / '.env'} cannot be read ({_why(error)})") from None

    def _file(self, name: str, path: str) -> str:
        place = self._base / Path(path).expanduser()
        try:
            if not place.is_file():
                raise SecretUnavailable(f"secret {name}: {place} is not a file")
            with place.open("rb") as file:
                content = file.read(LARGEST + 1)
            value = content.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise SecretUnavailable(f"secret {name}: {place} cannot be read ({_why(error)})") from None
        if len(content) > LARGEST:
            raise SecretUnavailable(f"secret {name}: {place} is larger than {LARGEST} bytes")
        value = value.removesuffix("\n").removesuffix("\r")
        if not value:
            raise SecretUnavailable(f"secret {name}: {place} is empty")
        return value


def _why(error: OSError | UnicodeDecodeError) -> str:
    """The reason without any of the content, which a decoding error would quote."""
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error.strerror)
