"""A demo game service: it plays turns with what its replica resolves, fed by Kafka alone.

    python -m consumers.game --bootstrap HOST:PORT --world world.forest_glade

Another program can lead it: with `--follow stdin` each line `turn`, or `turn POSITION`, plays one
turn, on that position at least, and with `--json` each turn is one JSON object on a line.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from threading import Event
from typing import Any

import orjson

from consumers.replica import Replica
from consumers.samples import Sampler
from consumers.views import GameSystems
from ledger.clock import format_instant
from ledger.scopes import Context

Json = Any


class FeedTooSlow(Exception):
    """The feed did not bring the position in time."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play until the turns are over, the leader hangs up, or a signal comes."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    # What its client says of every attempt to connect, the replica says once, and better.
    logging.getLogger("kafka").setLevel(logging.CRITICAL + 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with _replica(options) as replica, _sampler(replica, options):
            for line in _play(replica, options):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        sys.stderr.close()  # or the interpreter complains once more when it flushes at the end
        return 0
    except FeedTooSlow as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    environment = os.environ
    parser = argparse.ArgumentParser(prog="consumers.game", description="A demo game service.")
    bootstrap = environment.get("LIVEOPS_KAFKA_BOOTSTRAP")
    parser.add_argument(
        "--bootstrap", default=bootstrap, required=not bootstrap, help="Kafka brokers, host:port"
    )
    prefix = environment.get("LIVEOPS_TOPIC_PREFIX", "liveops")
    parser.add_argument("--prefix", default=prefix, help="what topic names begin with")
    parser.add_argument("--session", default="demo", help="the session that plays")
    parser.add_argument("--world", help="where it plays, such as world.forest_glade")
    parser.add_argument("--adventure", help="what it plays, such as adventure.tutorial")
    parser.add_argument("--turns", type=int, help="how many turns; without it until stopped")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between turns")
    parser.add_argument("--follow", choices=["stdin"], help="play a turn for each line `turn`")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for the feed")
    parser.add_argument(
        "--samples",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="of which share of the turns it reports what it was given, from 0 to 1; 1: of all",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a turn")
    return parser


def _replica(options: argparse.Namespace) -> Replica:
    return Replica(
        options.bootstrap,
        prefix=options.prefix,
        enabled=os.environ.get("LIVEOPS_ENABLED", "true").strip().lower() not in _NO,
        cache_ttl_ms=int(os.environ.get("LIVEOPS_RESOLVER_CACHE_TTL_MS", "60000")),
    )


_NO = frozenset({"false", "0", "no", "off", "n", "f"})


def _sampler(replica: Replica, options: argparse.Namespace) -> Sampler:
    return Sampler(replica, options.bootstrap, prefix=options.prefix, share=options.samples)


def _play(replica: Replica, options: argparse.Namespace) -> Iterator[str]:
    """Play the turns, and yield what is to be shown of each."""
    session = Context(options.session, world_id=options.world, adventure_id=options.adventure)
    show = _as_json if options.json else _for_people
    before: Mapping[str, Json] = {}
    for turn, position in zip(_numbers(options.turns), _pace(options), strict=False):
        if not replica.wait_for(position, options.patience):
            trouble = replica.problem or "nothing arrives"
            raise FeedTooSlow(f"position {position} did not arrive: {trouble}")
        systems = replica.game(session._replace(turn_id=turn))
        values = systems.resolution.values
        changed = {
            lever: (before[lever], value)
            for lever, value in values.items()
            if before.get(lever, value) != value
        }
        yield show(turn, systems, changed)
        before = values


def _numbers(turns: int | None) -> Iterator[int]:
    return iter(count(1) if turns is None else range(1, turns + 1))


def _pace(options: argparse.Namespace) -> Iterator[int]:
    """Yield, whenever a turn is to be played, the position that it needs."""
    if options.follow is None:
        yield 1
        while not Event().wait(options.interval):
            yield 1
    for line in sys.stdin:
        word, _, position = line.strip().partition(" ")
        if word == "turn" and (not position or position.isdecimal()):
            yield int(position or 1)
        elif word:
            sys.stderr.write(f"not understood: {line.strip()[:80]!r}; say `turn` or `turn 7`\n")


Changed = Mapping[str, tuple[Json, Json]]


def _as_json(turn: int, systems: GameSystems, changed: Changed) -> str:
    resolution = systems.resolution
    seen = {
        "turn": turn,
        "position": resolution.position,
        "at": format_instant(resolution.at),
        "values": dict(resolution.values),
        "changed": {lever: {"from": old, "to": new} for lever, (old, new) in changed.items()},
    }
    return orjson.dumps(seen).decode()


def _for_people(turn: int, systems: GameSystems, changed: Changed) -> str:
    resolution = systems.resolution
    head = f"turn {turn}  position {resolution.position}  {format_instant(resolution.at)}"
    lines = [head, *(f"    {line}" for line in _what_matters(systems))]
    for lever, (old, new) in changed.items():
        lines.append(f"  * {lever} {old} → {new} at position {resolution.position}")
    return "\n".join(lines)


def _what_matters(systems: GameSystems) -> Iterator[str]:
    tokens, pacing, economy = systems.tokens, systems.pacing, systems.economy
    yield (
        f"tokens   {tokens.max_input_tokens} in, {tokens.max_output_tokens} out, "
        f"input x {tokens.input_token_multiplier}"
    )
    yield (
        f"pacing   quests x {pacing.quest_pacing_tempo_multiplier}, "
        f"hints when stuck {pacing.soft_lock_hint_frequency}, "
        f"skill checks x {pacing.skill_check_success_rate_multiplier}"
    )
    yield (
        f"economy  legendary drops x {economy.drop_rate_legendary_multiplier}, "
        f"activity x {economy.economic_activity_multiplier}, "
        f"vendors keep {economy.vendor_margin_min} to {economy.vendor_margin_max}"
    )
    closed = [
        f"{name} {getattr(systems.gates, name).mode}"
        for name in systems.gates.properties()
        if getattr(systems.gates, name).mode != "full"
    ]
    yield "gates    " + (", ".join(closed) or "all fully on")


if __name__ == "__main__":
    sys.exit(main())
