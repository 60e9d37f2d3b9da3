"""``probes demo``: a shop with an outage, its checks, and what Probes makes of it, in a minute."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from probes.cli.shared.options import DEFAULT, DEMO, folder

if TYPE_CHECKING:
    from probes.local.shop import Shop


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port of the page; a free one if taken."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the store, kept; .probes/demo, begun anew, if not given.",
)
@click.option(
    "--pace", type=click.FloatRange(0.05, 100), default=1.0, show_default=True, help="Speed of the story: 0.5 is twice as fast."
)
def command(*, port: int, data: Path | None, pace: float) -> int:
    """Start a small shop on this machine, run its checks, and let it have a bad minute: degraded, down, a page, recovery.

    Uses the checks.yaml of this folder when it is the shop's, else the one that comes with Probes. Ctrl-C stops it.
    """
    from probes.cli.shared import watch

    return watch.run(_demo(port, data, pace))


async def _demo(port: int, data: Path | None, pace: float) -> int:
    from probes.cli.shared import terminal, watch
    from probes.local.service import Service
    from probes.local.shop import ENVIRONMENT, STORY, Shop

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    shelf = folder(None, Path(DEFAULT))
    if data is None:
        data = shelf / DEMO
        _anew(data)
    else:
        shelf = data
    port = _free(port)
    beat = f"http://127.0.0.1:{port}/beat/nightly-invoices"
    async with Shop(shelf / "shop", beat=beat) as shop:
        file = _file(shop)
        terminal.talk(f"the shop's checks: {file}")
        terminal.talk(f"the page: http://127.0.0.1:{port}")
        service = Service(file, data, port=port, variables=shop.variables)

        async def story() -> None:
            await shop.play(STORY, lambda says: terminal.talk(f"--- {says}"), pace)

        return await watch.shown(service, story)


def _anew(data: Path) -> None:
    """Forget what an earlier demo left in its folder. Raises Refused while one runs there."""
    from probes.local.folder import Folder

    with Folder(data) as place:
        for left in data.glob(f"{place.store.name}*"):
            left.unlink()


def _file(shop: Shop) -> Path:
    """The checks.yaml of this folder, when it is usable for the shop; else the bundled one."""
    from probes import local
    from probes.cli.shared import configuration
    from probes.core.diagnostics import Rejected

    here = Path(DEFAULT)
    try:
        if here.is_file() and configuration.read(here, shop.variables.items())[2].service == "shop":
            return here
    except Rejected:
        pass
    return Path(local.__path__[0]) / "shop.yaml"


def _free(port: int) -> int:
    """The port, or a free one when it is 0 or taken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
