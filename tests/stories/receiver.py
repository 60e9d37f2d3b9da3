"""A webhook receiver on loopback that writes down what it is told, and answers as told."""

from __future__ import annotations

import asyncio
import json
from typing import Any


class Receiver:
    """``messages`` holds (path, data) of what was accepted; ``answers`` the status by path (0: hang), 204 where none is given."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.tried: list[str] = []
        self.answers: dict[str, int] = {}
        self.released = asyncio.Event()

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.released.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            path = head[0].split()[1].lstrip("/")
            self.tried.append(path)
            status = self.answers.get(path, 204)
            if status == 0:
                await self.released.wait()
            elif status < 300:
                self.messages.append((path, body["data"]))
            writer.write(f"HTTP/1.1 {status or 503} Told\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
