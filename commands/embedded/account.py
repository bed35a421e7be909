"""Which user of the system a server runs as, and what that user can reach.

PostgreSQL refuses to run as root. Nothing here changes the mode of a folder that was there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from commands.embedded.errors import EmbeddedServerError

SYSTEM_USER = "liveops-postgres"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the operating system, without any further groups."""

    uid: int
    gid: int


def server_account(data: Path) -> Account | None:
    """Who the server on this data folder must run as; None means: as we are.

    Root takes the owner of an existing data folder, whatever the passwd file says today: a
    container that is made anew may number its users differently from the volume it finds.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    return _system_account()


def can_reach(path: Path, account: Account) -> bool:
    """Tell whether the account may enter every folder above the path."""
    return all(_allows(folder, account, 0o1) for folder in path.resolve().parents)


def can_run(program: Path, account: Account) -> bool:
    """Tell whether the account may reach, read and execute the program."""
    return can_reach(program, account) and _allows(program.resolve(), account, 0o5)


def _allows(path: Path, account: Account, wanted: int) -> bool:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid == account.uid:
        mode >>= 6
    elif found.st_gid == account.gid:
        mode >>= 3
    return mode & wanted == wanted


def _system_account() -> Account:
    found = _account_named(SYSTEM_USER) or _made_account()
    if found is None:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and the user {SYSTEM_USER!r} to run it as could not "
            "be made. Make it, start as an ordinary user, or set LIVEOPS_DATABASE_URL."
        )
    return found


def _account_named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)


def _made_account() -> Account | None:
    for argv in _ways_to_make_it():
        if shutil.which(argv[0]):
            subprocess.run(argv, check=False, capture_output=True, timeout=30)
            # Looked up even after a failure: another program may have made it meanwhile.
            if found := _account_named(SYSTEM_USER):
                return found
    return _account_named("_postgres")  # what macOS brings for this purpose


def _ways_to_make_it() -> list[list[str]]:
    """The usual tool first, then Debian's, then BusyBox's."""
    ways = (
        "useradd --system --user-group --no-create-home --home-dir /nonexistent "
        "--shell /usr/sbin/nologin",
        "adduser --system --group --no-create-home --home /nonexistent",
        "adduser -S -D -H -h /nonexistent -s /sbin/nologin",
    )
    return [[*way.split(), SYSTEM_USER] for way in ways]
