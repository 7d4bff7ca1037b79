"""A web server for tests that ends when it is told to."""

import asyncio
import socket
import time

import uvicorn


class PromptServer(uvicorn.Server):
    """One that ends within milliseconds: uvicorn's own looks ten times a second, and then waits a tenth of a second."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            await asyncio.sleep(0.005)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        patience = time.monotonic() + 0.1
        while self._is_busy() and time.monotonic() < patience:
            await asyncio.sleep(0.001)
        if self._is_busy():
            await super().shutdown(sockets)

    def _is_busy(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)
