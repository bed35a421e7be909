"""The SQL of the views: files, handed to the driver as they are.

`install.sql` makes what all views share, `configs.sql` and `audit.sql` the tables of one view
each, `functions.sql` what asks them. `queries.sql` holds one statement under each `-- name:` line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


@cache
def queries() -> Mapping[str, bytes]:
    """Return the statements of queries.sql by name."""
    named = _NAMED.findall(read("queries.sql").decode())
    return {name: statement.strip().encode() for name, statement in named}


def read(name: str) -> bytes:
    """Return the text of one file beside this one."""
    return (files(__name__) / name).read_bytes()
