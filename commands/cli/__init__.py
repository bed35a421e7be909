"""The command line: `liveops`."""

from __future__ import annotations

import click

from commands.cli.audit import COMMANDS as AUDITING
from commands.cli.bundle import COMMANDS as BUNDLES
from commands.cli.configs import config
from commands.cli.experiments import experiment
from commands.cli.history import COMMANDS as PAST
from commands.cli.keys import keys
from commands.cli.levers import lever
from commands.cli.places import COMMANDS as PLACES
from commands.cli.proof import proof
from commands.cli.replay import COMMANDS as REPLAYING
from commands.cli.resolve import COMMANDS as RESOLVING
from commands.cli.servers import COMMANDS as SERVERS
from commands.cli.snapshots import snapshots
from commands.cli.validation import COMMANDS as VALIDATING

HELP = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=HELP)
@click.version_option(package_name="liveops-ledger")
def app() -> None:
    """Operate a live game's configuration ledger.

    Verbs that ask or change a ledger talk to a running server. They find it by --url and --token,
    by LIVEOPS_URL and LIVEOPS_TOKEN, or by what `liveops up` left in its home folder.

    Exit codes: 0 done; 1 refused; 2 wrong usage; 3 nothing answers; 4 not allowed; 5 not found.
    """


VERBS = (*SERVERS, *PLACES, *RESOLVING, *VALIDATING, *AUDITING, *PAST, *BUNDLES, *REPLAYING)
GROUPS = (config, experiment, keys, lever, proof, snapshots)
for command in (*VERBS, *GROUPS):
    app.add_command(command)
