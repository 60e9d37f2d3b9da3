"""An event loop whose clock is virtual: waiting costs nothing, and time can be made to jump."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Where nothing is ready, time moves to the next timer at once. ``epoch`` is the wall clock at loop time 0."""

    def __init__(self, epoch: float = 1_770_091_500.0) -> None:
        self.clock = 0.0
        self.epoch = epoch
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.clock

    def now(self) -> float:
        """The wall clock: epoch seconds."""
        return self.epoch + self.clock

    def play(self, story: Coroutine[Any, Any, Any]) -> Any:
        """Run ``story`` to its end and close the loop."""
        try:
            return self.run_until_complete(story)
        finally:
            self.run_until_complete(self.shutdown_asyncgens())
            self.close()


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # an alias chosen by the platform
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits for something that never comes"
            self._loop.clock += max(0.0, timeout)
        return ready
