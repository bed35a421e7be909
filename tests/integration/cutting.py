"""A way to the database that is cut at the worst moment: when the answer is on its way back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from urllib.parse import urlsplit


class Proxy:
    """Pass bytes to and fro; cut each connection whose client has sent `marker`, once answered.

    The marker goes through, so what the client asked for has been done when it is cut off.
    """

    def __init__(self, server: tuple[str, int], marker: bytes) -> None:
        self.cuts = 0
        self._server = server
        self._marker = marker
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def close(self) -> None:
        """Take no more connections and wait until those there are have ended."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                doomed = Event()
                for pump in (self._ask, self._answer):
                    self._threads.append(Thread(target=pump, args=(client, server, doomed)))
                    self._threads[-1].start()

    def _ask(self, client: socket.socket, server: socket.socket, doomed: Event) -> None:
        for data in _received(client):
            if self._marker in data:
                doomed.set()
            server.sendall(data)
        _end(server)

    def _answer(self, client: socket.socket, server: socket.socket, doomed: Event) -> None:
        with client, server:
            for data in _received(server):
                if doomed.is_set():
                    self.cuts += 1
                    break
                client.sendall(data)
            _end(client)
            _end(server)


def _received(source: socket.socket) -> Iterator[bytes]:
    with suppress(OSError):
        while data := source.recv(65536):
            yield data


def _end(peer: socket.socket) -> None:
    with suppress(OSError):
        peer.shutdown(socket.SHUT_RDWR)


@contextmanager
def cut_after(url: str, marker: bytes) -> Iterator[tuple[str, Proxy]]:
    """Yield a URL by way of a proxy, and the proxy."""
    parts = urlsplit(url)
    proxy = Proxy((parts.hostname or "127.0.0.1", parts.port or 5432), marker)
    login = parts.netloc.rpartition("@")[0]
    try:
        yield parts._replace(netloc=f"{login}@127.0.0.1:{proxy.port}").geturl(), proxy
    finally:
        proxy.close()
