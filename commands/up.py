"""`liveops up`: the whole system on this machine, on embedded servers or on given ones."""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType

import orjson
from pydantic import SecretStr
from rich.console import Console

from commands import programs
from commands.client import Api
from commands.embedded.broker import EmbeddedBroker
from commands.embedded.logins import admit, kept_secret, prepare, write_private
from commands.embedded.postgres import EmbeddedPostgres
from commands.embedded.process import LOOPBACK, free_port
from commands.keys import kept_key
from commands.settings import READY_FILE, SUPERUSER_FILE, Settings
from commands.supervisor import Child, Exit, Supervisor
from commands.tour import GameService, Tour


@dataclass(frozen=True, slots=True)
class Running:
    """Where everything is, as the ready file says it."""

    url: str
    token: str
    database_url: str
    kafka_bootstrap: str


def up(
    settings: Settings, *, port: int | None, ready_file: Path | None, tour: bool, console: Console
) -> None:
    """Start everything, say where it is, and keep it running until told to stop."""

    def report(name: str, text: str) -> None:
        console.print(f"[dim]{name:>10}[/]  {text}", highlight=False)

    console.print(f"LiveOps Ledger, with its data in [bold]{settings.home}[/]")
    with Supervisor(settings.home, report=report) as supervisor:
        running = _start(settings, supervisor, port)
        for file in filter(None, (settings.home / READY_FILE, ready_file)):
            write_private(file, orjson.dumps(asdict(running)))
        if tour:
            _play(running, settings.topic_prefix, console)
        _invite(running, console)
        supervisor.run()
        (settings.home / READY_FILE).unlink(missing_ok=True)


def _start(settings: Settings, supervisor: Supervisor, port: int | None) -> Running:
    database = _database(settings, supervisor)
    kafka, broken = _kafka(settings, supervisor)
    port = (_unless_taken(settings.port) if port is None else port) or free_port()
    token = _token(settings)
    environment = {
        "LIVEOPS_DATABASE_URL": database,
        "LIVEOPS_KAFKA_BOOTSTRAP": kafka,
        "LIVEOPS_ADMIN_TOKEN": token,
    }
    # Whoever can read the keys can sign anything: the others do not get to know where they are.
    keys = {"LIVEOPS_SIGNING_KEYS": ",".join(map(str, _signing_keys(settings, database)))}

    def child(
        name: str,
        verb: list[str],
        ready: Callable[[], bool] | None = None,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> Child:
        argv = [sys.executable, "-m", "commands", *verb]
        program = Child(
            name,
            argv,
            home=settings.home,
            env={"LIVEOPS_SIGNING_KEYS": "", **environment, **more},
            ready=ready or (lambda: programs.SERVING in program.said()),
        )
        return program

    url = f"http://{LOOPBACK}:{port}"
    serve = ["serve", "--host", LOOPBACK, "--port", str(port)]
    supervisor.start(child("api", serve, lambda: _answers(port)))
    supervisor.start(child("projector", ["project"], more=keys))
    supervisor.start(child("publisher", ["publish", "--supervised"]), on_exit=[broken])
    return Running(url, token, database, kafka)


def _database(settings: Settings, supervisor: Supervisor) -> str:
    """Start PostgreSQL unless one is given, migrate it, and return the application's URL."""
    if settings.database_url is not None:
        programs.migrate(settings)
        return settings.database_url.get_secret_value()
    server = supervisor.start(EmbeddedPostgres(settings.home))
    logins = prepare(server.url, settings.home)
    write_private(settings.home / SUPERUSER_FILE, logins.superuser.encode())
    programs.migrate(settings.model_copy(update={"database_url": SecretStr(logins.superuser)}))
    admit(logins.superuser)
    return logins.application


def _kafka(settings: Settings, supervisor: Supervisor) -> tuple[str, Callable[[Exit], None]]:
    """Start a broker unless one is given; return it, and what to do when the publisher dies."""
    if settings.kafka_bootstrap is not None:
        return settings.kafka_bootstrap, lambda _: None
    broker = supervisor.start(EmbeddedBroker(settings.home))

    def renew(publisher: Exit) -> None:
        # The embedded broker keeps a transaction open for good when the one who began it was
        # killed (FINDINGS section 5): it starts anew, empty, and the publisher fills it again.
        if not publisher.clean:
            supervisor.restart(broker.name)

    return broker.bootstrap, renew


def _token(settings: Settings) -> str:
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value()
    return kept_secret(settings.home / "admin.token", lambda: secrets.token_urlsafe(32))


def _signing_keys(settings: Settings, database: str) -> tuple[Path, ...]:
    if settings.signing_keys:
        return settings.signing_keys
    given = settings.model_copy(update={"database_url": SecretStr(database)})
    return (kept_key(settings.home, programs.log_origin(given)),)


def _unless_taken(port: int) -> int:
    """Give the port back, or 0 when somebody else has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return 0
    return port


def _answers(port: int) -> bool:
    # Without httpx: it takes longer to make a client than the API needs for the answer.
    with contextlib.closing(HTTPConnection(LOOPBACK, port, timeout=2)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False


def _play(running: Running, prefix: str, console: Console) -> None:
    with (
        Api(running.url, running.token) as api,
        GameService(running.kafka_bootstrap, prefix) as game,
    ):
        Tour(api, game, console).play()


def _invite(running: Running, console: Console) -> None:
    console.rule("Up")
    console.print(f"API       {running.url}/api/awf-liveops", highlight=False)
    console.print(f"its docs  {running.url}/docs", highlight=False)
    console.print(f"Kafka     {running.kafka_bootstrap}", highlight=False)
    console.print(f"token     {running.token}", highlight=False)
    console.print("Ctrl-C stops it; the ledger is kept.")
