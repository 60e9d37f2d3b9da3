"""Secrets where they are used: read by name, filled in late, handed on for scrubbing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from probes.core import template
from probes.core.plan import Plan
from probes.ports import SecretUnavailable, World


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, (list, tuple)):
        for value in data:
            yield from _texts(value)


def names(data: Any) -> list[str]:
    """The secrets that JSON data refers to, in order of appearance."""
    found = dict.fromkeys(
        reference.path.split(".")[0]
        for text in _texts(data)
        if "${{" in text
        for reference in template.references(text)
        if reference.root == "secret"
    )
    return list(found)


async def secrets(plan: Plan, world: World, data: Any) -> dict[str, str]:
    """The values of the secrets that JSON data refers to, by name. Raises :class:`SecretUnavailable`, which names the secret."""
    wanted = names(data)
    missing = [name for name in wanted if name not in plan.secrets]
    if missing:
        raise SecretUnavailable(f"the secret {missing[0]} is not declared under `secrets`")
    read = await asyncio.gather(*(world.secrets.get(plan.secrets[name]) for name in wanted))
    return {name: secret.reveal() for name, secret in zip(wanted, read, strict=True)}
