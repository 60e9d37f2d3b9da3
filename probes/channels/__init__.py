"""Who to tell: one file per channel, named like its YAML key. The folder is the registry; shared parts are in ``delivery``."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import Any

from probes.channels.delivery.request import Channel
from probes.core.alert import Alert, Delivery

__all__ = ["CHANNELS", "send"]


class _Channels(Mapping[str, Channel]):
    """Every channel of this folder by name; a module is imported only when its key is used."""

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg))

    def __getitem__(self, name: str) -> Channel:
        if name not in self._names:
            raise KeyError(name)
        channel = import_module(f"{__name__}.{name}").CHANNEL
        assert isinstance(channel, Channel), name
        return channel

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


CHANNELS: Mapping[str, Channel] = _Channels()


async def send(
    kind: str,
    config: Mapping[str, Any],
    alert: Alert,
    now: float,
    secrets: Iterable[str] = (),
    *,
    write: Callable[[str], None] | None = None,
) -> Delivery:
    """Tell one channel; never raises.

    ``config`` is the channel's configuration with every secret filled in, ``now`` epoch seconds, ``secrets`` the values to redact
    from what is reported, ``write`` where a console message goes (standard error when not given).
    """
    from probes.channels.delivery.send import deliver  # the clients of HTTP and mail load when the first alert leaves

    return await deliver(kind, config, alert, now, channel=CHANNELS.get(kind), secrets=secrets, write=write)
