"""A line to a server that a test may cut: connections are refused, or taken and never answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import make_url


class Line:
    """Forwards a port of this machine to a PostgreSQL server, which may listen on a socket in a folder."""

    def __init__(self, target: str) -> None:
        self._target = make_url(target)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._words, self._times = b"", 0
        self.silent = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        through = self._target.set(host="127.0.0.1", port=self.port).difference_update_query(["host", "port"])
        return through.render_as_string(hide_password=False)

    async def join(self) -> None:
        self.silent.clear()
        if self._server is None:
            self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Every connection ends, and new ones are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def fall_silent(self) -> None:
        """Whatever is sent from now on comes to nothing, as when a machine or a network is gone."""
        self.silent.set()

    def fall_silent_at(self, words: bytes, times: int) -> None:
        """As soon as these words are sent for that time: they come to nothing already."""
        self._words, self._times = words, times

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = self._target.query.get("host") or self._target.host
        port = self._target.port or 5432
        if isinstance(host, str) and host.startswith("/"):
            far_reader, far_writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        for one, other in ((reader, far_writer), (far_reader, writer)):
            self._open.add(other)
            task = asyncio.create_task(self._carry(one, other))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if self._times and self._words in data:
                    self._times -= 1
                    if not self._times:
                        self.silent.set()
                if not self.silent.is_set():
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            self._open.discard(writer)
            with suppress(RuntimeError):
                writer.close()


@asynccontextmanager
async def line_to(target: str) -> AsyncIterator[Line]:
    line = Line(target)
    await line.join()
    try:
        yield line
    finally:
        await line.cut()
