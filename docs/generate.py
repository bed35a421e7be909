"""Write the reference pages that are made from the code: `make docs`. A test finds stale ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from uuid import UUID

import click
import orjson

from commands.cli import app
from commands.settings import Settings
from docs.vectors import vectors_page
from ledger.catalog import shipped_catalog
from ledger.content import Content, Pinned
from ledger.events import (
    EVENT_TYPES,
    CatalogAdopted,
    ConfigActivated,
    ConfigArchived,
    ConfigCreated,
    ConfigDeactivated,
    ConfigRevised,
    ConfigRolledBack,
    Event,
    ExperimentChanged,
    ExperimentStarted,
    ExperimentStopped,
    Frozen,
    LeverKilled,
    LeverRestored,
    RolloutChanged,
    ShadowStarted,
    ShadowStopped,
    Unfrozen,
)
from ledger.experiments import Experiment, Holdout, Variation
from ledger.handbook import levers_page
from ledger.rollout import Rollout
from ledger.scopes import EVERYWHERE

REFERENCE = Path(__file__).parent / "reference"
_WRITTEN = "Written from the code by `make docs`; a test fails when this page is not current.\n"


def settings_page() -> str:
    """List every setting with its default and meaning."""
    lines = ["# Settings\n", "Environment variables. " + _WRITTEN]
    lines += ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `LIVEOPS_{name.upper()}` | {_default(field)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _default(field: object) -> str:
    if getattr(field, "default_factory", None) is not None:
        return "the user's data folder; `/var/lib/liveops-ledger/home` for root"
    default = getattr(field, "default", None)
    return "unset" if default in (None, ()) else f"`{orjson.dumps(default).decode()}`"


def events_page() -> str:
    """List every kind of event with what its data holds."""
    lines = ["# Events\n", _WRITTEN]
    lines.append(
        "The envelope around each: `position`, `recorded_at`, `event_id`, `type`, "
        "`schema_version`, `config_id` (events of a config), `actor`, `reason`, "
        "`correlation_id`, `causation_id`, `data`.\n"
    )
    samples = {type(event).__name__: event for event in _samples()}
    for name, kind in EVENT_TYPES.items():
        data = orjson.dumps(_shortened(samples[name]), option=orjson.OPT_INDENT_2).decode()
        summary = cleandoc(kind.__doc__ or "")
        lines.append(f"## {name} v{kind.VERSION}\n\n{summary}\n\n```json\n{data}\n```\n")
    return "\n".join(lines)


def _samples() -> Iterator[Event]:
    config_id = UUID(int=1)
    content = Content.from_json(
        {
            "name": "Forest Glade Economy Boost",
            "scope": "world",
            "scope_ref": "world.forest_glade",
            "payload": {"DROP_RATE_LEGENDARY_MULTIPLIER": 1.5},
            "targeting": {"include": 'region == "eu"'},
        }
    )
    pinned = Pinned.of(1, content, content.window)
    yield ConfigCreated(config_id, 1, content)
    yield ConfigRevised(config_id, 2, content)
    yield ConfigActivated(config_id, pinned)
    yield ConfigDeactivated(config_id)
    yield ConfigArchived(config_id)
    yield ConfigRolledBack(config_id, pinned.ranked(2), restores=2)
    yield RolloutChanged(config_id, pinned.rolled_out(Rollout.from_json({"percentage": 25})))
    yield ShadowStarted(config_id, pinned)
    yield ShadowStopped(config_id)
    yield Frozen(EVERYWHERE)
    yield Unfrozen(EVERYWHERE)
    yield LeverKilled("MODS_GATE")
    yield LeverRestored("MODS_GATE")
    yield from _experiment_samples()
    yield CatalogAdopted(shipped_catalog())


def _experiment_samples() -> Iterator[Event]:
    experiment = Experiment(
        "boss_rush",
        (Variation("calm", 1), Variation("fierce", 1)),
        percentage=20_000,
        group="combat",
        ranges=((0, 20_000),),
        holdout=Holdout("untouched", 5_000),
        description="Do fiercer bosses keep players longer?",
    )
    yield ExperimentStarted(experiment)
    yield ExperimentChanged(experiment._replace(percentage=30_000, ranges=((0, 30_000),)))
    yield ExperimentStopped("boss_rush")


def _shortened(event: Event) -> dict[str, object]:
    data: dict[str, object] = event.data()
    if isinstance(event, CatalogAdopted):
        data["catalog"] = "the whole catalog file, as in ledger/catalog.json"
    return data


def cli_page() -> str:
    """List every verb of the command line with its help."""
    lines = ["# Command line\n", _WRITTEN]
    lines += [f"## {name}\n\n```text\n{text}\n```\n" for name, text in _verbs(app, "liveops")]
    return "\n".join(lines)


def _verbs(
    command: click.Command, verb: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    # Made with the parent's context and settings, as when it runs: click keeps a command's help
    # option from the first time that anybody asks for it.
    context = click.Context(
        command,
        parent,
        verb,
        max_content_width=96,
        terminal_width=96,
        **command.context_settings,
    )
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _verbs(command.commands[name], name, context)


def levers() -> str:
    """List every lever of the shipped catalog."""
    return levers_page(shipped_catalog())


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "events.md": events_page,
    "cli.md": cli_page,
    "levers.md": levers,
    "rollout-vectors.json": vectors_page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
