"""The keys that sign the log: made, kept in files of their own, read, and shown in public."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from commands.settings import SIGNING_KEY_FILE
from ledger.errors import LedgerError
from ledger.notes import NoteRefused, Signer, Verifier


class KeyUnusable(LedgerError):
    """The key cannot be used."""


def make_key(file: Path, name: str) -> Signer:
    """Make a key and keep it in a new file, for this user alone."""
    signer = Signer.generate(name, secrets.token_bytes(32))
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyUnusable(
            f"{file} is there already, and a key is never written over: name another file"
        ) from None
    except OSError as error:
        raise KeyUnusable(f"{file} cannot be written: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(signer.text() + "\n")
    return signer


def read_key(file: Path) -> Signer:
    """Read a key from its file."""
    try:
        return Signer.parse(file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnusable(f"the signing key {file} cannot be read: {error}") from error
    except NoteRefused as error:
        raise KeyUnusable(f"{file} holds no signing key: {error}") from error


def read_keys(files: Iterable[Path]) -> list[Signer]:
    """Read the keys that sign; the same one twice is one."""
    return list(dict.fromkeys(map(read_key, files)))


def kept_key(home: Path, name: str) -> Path:
    """Give the key in a home folder, made when it is not there yet."""
    file = home / SIGNING_KEY_FILE
    if not file.exists():
        make_key(file, name)
    return file


def public_key(text: str) -> Verifier:
    """Read a public key: written out, or the path of a file that holds it or its private half."""
    file = Path(text)
    if "+" not in text or file.is_file():
        try:
            text = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise KeyUnusable(f"{file} holds no key: {error}") from error
    if text.startswith("PRIVATE+KEY+"):
        return Signer.parse(text).verifier
    return Verifier.parse(text)
