"""Settings, read from the environment with the prefix LIVEOPS_."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from platformdirs import user_data_path
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")

READY_FILE = "ready.json"
"""In the home folder: where `liveops up` serves, for the other verbs to find it."""

SUPERUSER_FILE = "superuser.url"
"""In the home folder: the embedded PostgreSQL for those who rebuild its views; mode 0600."""

SIGNING_KEY_FILE = "signing.key"
"""In the home folder: the key with which `liveops up` signs the log; mode 0600."""


def default_home() -> Path:
    """Choose the folder for the embedded servers' data.

    For root it is the system folder for variable state: PostgreSQL runs as a user of its own,
    which could not reach a folder inside root's home.
    """
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/liveops-ledger/home")
    return user_data_path("liveops-ledger")


def _listed(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(origin.strip() for origin in value.split(",") if origin.strip())


def _origin(text: str) -> str:
    origin = text.lower()
    if origin == "*" or _ORIGIN.fullmatch(origin):
        return origin
    raise ValueError(f"{text!r} is no origin: write https://host or https://host:port, or *")


Origin = Annotated[str, AfterValidator(_origin)]
"""What a browser calls where a page comes from: scheme, host and port, without a path."""


class Settings(BaseSettings):
    """Every setting of the program; each is an environment variable LIVEOPS_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="LIVEOPS_", extra="ignore", frozen=True)

    enabled: bool = Field(True, description="false: everything resolves to catalog defaults")
    global_freeze: bool = Field(False, description="true: this process refuses every change")
    dryrun_turns: int = Field(50, ge=1, description="synthetic turns of one dry run")
    preview_max_docs: int = Field(50, ge=1, description="most configs that one list page holds")
    resolver_cache_ttl_ms: int = Field(
        60_000,
        ge=0,
        description="longest a turn's answer is kept by a replica, and a folded past state that "
        "nobody asks for by the API, in milliseconds",
    )
    bounds_strict: bool = Field(
        True, description="true: a value far outside its bounds refuses the activation"
    )

    database_url: SecretStr | None = Field(
        None, description="PostgreSQL of the ledger; unset: an embedded one is started"
    )
    kafka_bootstrap: str | None = Field(
        None, description="Kafka brokers, host:port[,host:port]; unset: an embedded one is started"
    )
    topic_prefix: str = Field(
        "liveops", pattern=r"^[A-Za-z0-9._-]{1,200}$", description="what topic names begin with"
    )
    catalog: Path | None = Field(
        None, description="lever catalog file of another game; unset: the shipped catalog"
    )
    home: Path = Field(
        default_factory=default_home, description="folder of the embedded servers' data"
    )
    host: str = Field("127.0.0.1", description="address that the HTTP API listens on")
    port: int = Field(8700, ge=0, le=65535, description="port of the HTTP API; 0: any free one")
    cors_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description="origins whose pages may evaluate flags by OFREP, separated by commas, like "
        "`https://game.example`; `*`: any",
    )
    admin_token: SecretStr | None = Field(
        None, description="the administrator's bearer token; `liveops up` makes one if unset"
    )
    signing_keys: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description="files of the keys that sign the log, separated by commas: each of them signs; "
        "unset: `liveops up` makes one, and `liveops project` signs nothing",
    )
    verify_interval_seconds: float = Field(
        3600,
        ge=0,
        description="pause between two verifications of the ledger and its views by `liveops "
        "project`, in seconds; 0: none",
    )
    log_origin: str | None = Field(
        None,
        pattern=r"^[^\s+]{1,200}$",
        description="name of the log in its checkpoints, for good; unset: `liveops-ledger/` and "
        "the id of the first event",
    )
