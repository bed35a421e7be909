"""A real PostgreSQL as a child process: for development, tests and small installations."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import psycopg

from commands.embedded.cluster import SUPERUSER, Cluster, erase_cluster, open_cluster, server_env
from commands.embedded.errors import EmbeddedServerError
from commands.embedded.leftovers import end_leftover_postgres
from commands.embedded.part import Part
from commands.embedded.process import (
    LOOPBACK,
    UNWATCHED,
    ChildProcess,
    Watch,
    free_port,
    last_lines,
)

_READY_SECONDS = 120.0
"""Long, because a server that was killed replays its log before it answers."""

_PORT_TRIES = 5
_DEFAULTS = {"timezone": "UTC", "log_timezone": "UTC", "unix_socket_directories": ""}


class EmbeddedPostgres(Part):
    """A PostgreSQL server on loopback, with its data below `home`.

    Only who knows the password can connect: it is in `home/postgres.password`, mode 0600. The
    wheel has neither TLS nor ICU. Not thread-safe; one program at a time per home.
    """

    farewell = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0))
    """A fast shutdown: connections are cut, everything committed is kept. Then an immediate one."""

    def __init__(self, home: Path, *, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__("postgres")
        self.home = home
        self._settings = {**_DEFAULTS, **settings}
        self._cluster: Cluster | None = None
        self._port: int | None = None

    @property
    def url(self) -> str:
        """The superuser's URL. It stays the same over the restarts of this object."""
        if self._cluster is None or self._port is None:
            raise EmbeddedServerError("PostgreSQL has not been started")
        return _url(self._cluster, self._port)

    def start(self, watch: Watch = UNWATCHED) -> None:
        """Start it, or start it again after it died; return once it answers.

        Ends a server that an earlier program left on the same data. Raises EmbeddedServerError.
        """
        if self.running and self._answers(self.url):
            return  # asked, not assumed: a process that was just killed still counts as running
        self.stop()
        durable = self._settings.get("fsync", "on") != "off"
        self._cluster = open_cluster(self.home, durable=durable)
        end_leftover_postgres(self._cluster.data, self.farewell)
        for _ in range(_PORT_TRIES):
            if self._launch(self._cluster, self._port or free_port(), watch):
                return
        raise EmbeddedServerError("No loopback port stays free long enough for PostgreSQL")

    def erase(self) -> None:
        """Stop it and delete its data for good."""
        self.stop()
        erase_cluster(self.home)

    def _launch(self, cluster: Cluster, port: int, watch: Watch) -> bool:
        """Start one server; False means that somebody else has taken the port."""
        process = self._process = self._process_on(cluster, port)
        process.start(watch)
        if process.serves(lambda: self._answers(_url(cluster, port)), _READY_SECONDS, watch):
            self._port = port
            return True
        self.stop()
        if "could not create any TCP/IP sockets" in process.said():
            return False
        raise EmbeddedServerError(
            f"PostgreSQL did not start; the end of {process.log}:" + last_lines(process.said())
        )

    def _process_on(self, cluster: Cluster, port: int) -> ChildProcess:
        settings = {**self._settings, "listen_addresses": LOOPBACK, "port": str(port)}
        argv = [str(cluster.programs / "postgres"), "-D", str(cluster.data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return ChildProcess(
            argv,
            log=self.home / "logs" / "postgres.log",
            env=server_env(),
            cwd=cluster.data,
            account=cluster.account,
        )

    def _answers(self, url: str) -> bool:
        """Ask our own server; one that has not said that it is ready may not be the listener."""
        if self._cluster is None or not _says_ready(self._cluster.data, self.pid):
            return False
        try:
            psycopg.connect(
                url, connect_timeout=5, sslmode="disable", require_auth="scram-sha-256"
            ).close()
        except psycopg.OperationalError:
            return False
        return True


def _url(cluster: Cluster, port: int) -> str:
    return f"postgresql://{SUPERUSER}:{cluster.password}@{LOOPBACK}:{port}/postgres"


def _says_ready(data: Path, pid: int) -> bool:
    """Read the server's own note of its state: its number first, its state last."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return lines[:1] == [str(pid)] and lines[-1].strip() == "ready"
