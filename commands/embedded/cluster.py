"""Where an embedded PostgreSQL lives on disk, and how it is made there.

`HOME/postgres` is the data folder itself, or, where the server's user cannot reach HOME, a link
to a folder with a random name below STATE. It takes this name only once it is complete.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from commands.embedded.account import Account, can_reach, server_account
from commands.embedded.errors import EmbeddedServerError
from commands.embedded.process import last_lines
from commands.embedded.programs import STATE, WHEEL, server_programs, state_folder

SUPERUSER = "liveops"

_FOLDER_PREFIX = "cluster-"
_UNFINISHED = "postgres.new-"
_INITDB_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Cluster:
    """A PostgreSQL data folder that is complete, and what is needed to run a server on it."""

    data: Path
    programs: Path
    account: Account | None
    password: str


def open_cluster(home: Path, *, durable: bool = True) -> Cluster:
    """Find the cluster of this home; make it first where there is none.

    `durable` false skips writing it through to the disk. Raises EmbeddedServerError.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _open(home.resolve() / "postgres", durable=durable)
    except PermissionError as error:
        raise EmbeddedServerError(
            f"{error.filename} belongs to another user: run as that one, or choose another home."
        ) from error


def _open(place: Path, *, durable: bool) -> Cluster:
    if not place.is_symlink() and not place.exists():
        _make(place, durable=durable)
    data = place.resolve()
    _check(place, data)
    account = server_account(data)
    return Cluster(data, server_programs(account), account, _password(place))


def erase_cluster(home: Path) -> None:
    """Delete the cluster of this home for good. Its server must have ended."""
    place = home.resolve() / "postgres"
    _discard(place)
    _password_file(place).unlink(missing_ok=True)


def server_env() -> dict[str, str]:
    """The environment of the server's programs: nothing of ours, above all no PG* variables."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _check(place: Path, data: Path) -> None:
    if not data.exists():
        raise EmbeddedServerError(
            f"{place} points to {data}, which is gone, and the ledger with it. Bring it back, or "
            f"remove {place} to begin with an empty ledger."
        )
    have, want = (data / "PG_VERSION").read_text().strip(), metadata.version(WHEEL).split(".")[0]
    if have != want:
        raise EmbeddedServerError(
            f"{data} was made by PostgreSQL {have} and the installed one is {want}. Install "
            f"{WHEEL} {have}, or dump the database with it and load the dump into a new home."
        )


def _make(place: Path, *, durable: bool) -> None:
    for cut_off in place.parent.glob(f"{_UNFINISHED}*"):
        _discard(cut_off)
    # Never the same name twice: the initdb of a program that was killed may still be writing.
    unfinished = place.with_name(_UNFINISHED + secrets.token_hex(4))
    account = server_account(place)
    data = _empty_folder(unfinished, account)
    password = secrets.token_urlsafe(24)
    _write_secret(_password_file(place), password)
    try:
        _initdb(data, account, password, durable=durable)
    except BaseException:
        _discard(unfinished)
        raise
    unfinished.rename(place)


def _empty_folder(name: Path, account: Account | None) -> Path:
    """Make the folder, or a link of this name to one that the account can reach."""
    if account is None:
        name.mkdir(mode=0o700)
        return name
    folder = name if can_reach(name, account) else state_folder() / _random_name()
    folder.mkdir(mode=0o700)
    os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    if folder != name:
        name.symlink_to(folder)
    return folder


def _random_name() -> str:
    return _FOLDER_PREFIX + secrets.token_hex(8)


def _initdb(data: Path, account: Account | None, password: str, *, durable: bool) -> None:
    secret = data.with_name(data.name + ".password")
    _write_secret(secret, password, account)
    argv = [str(server_programs(account) / "initdb"), f"--pgdata={data}", f"--pwfile={secret}"]
    argv += [f"--username={SUPERUSER}", "--auth=scram-sha-256", "--encoding=UTF8"]
    # The server's own locale: the same order and the same case rules on every machine.
    argv += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    try:
        _run(argv if durable else [*argv, "--no-sync"], account, cwd=data)
    finally:
        secret.unlink()


def _run(argv: list[str], account: Account | None, cwd: Path) -> None:
    done = subprocess.run(
        argv,
        check=False,
        capture_output=True,
        text=True,
        timeout=_INITDB_SECONDS,
        env=server_env(),
        cwd=cwd,
        umask=0o077,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )
    if done.returncode:
        raise EmbeddedServerError(
            f"PostgreSQL could not be set up in {cwd}:" + last_lines(done.stderr or done.stdout)
        )


def _write_secret(path: Path, secret: str, owner: Account | None = None) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if owner is not None:
            os.fchown(descriptor, owner.uid, owner.gid)
        file.write(secret)
        file.flush()
        os.fsync(descriptor)


def _password(place: Path) -> str:
    try:
        return _password_file(place).read_text().strip()
    except FileNotFoundError:
        raise EmbeddedServerError(
            f"{_password_file(place)} is gone, and nobody can connect without it: bring it back."
        ) from None


def _password_file(place: Path) -> Path:
    return place.with_name("postgres.password")


def _discard(place: Path) -> None:
    """Delete a data folder, and of a link only what it can only have got from us."""
    if place.is_symlink():
        target = place.resolve()
        if target.parent == STATE.resolve() and target.name.startswith(_FOLDER_PREFIX):
            shutil.rmtree(target, ignore_errors=True)
        place.unlink()
    elif place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
