"""The command `liveops`."""

from __future__ import annotations

import sys

_NEEDS_SERVER = """\
liveops: this installation has only what a game process needs ({missing} is missing).
For the command line, the API and the projections: pip install 'liveops-ledger[server]'
For embedded PostgreSQL and Kafka as well:         pip install 'liveops-ledger[server,embedded]'
"""


def main() -> None:
    """Run the command line, or say which extra brings it."""
    try:
        from commands.cli import app
    except ModuleNotFoundError as error:
        sys.stderr.write(_NEEDS_SERVER.format(missing=error.name))
        sys.exit(2)
    app()


if __name__ == "__main__":
    main()
