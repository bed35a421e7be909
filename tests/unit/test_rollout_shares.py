"""How many units a rollout takes, and that two purposes take them independently.

Everything here is fixed, so that nothing is left to luck: the units are made from numbers, and
what is allowed is what a fair draw would exceed less than once in a million such tests.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from math import sqrt
from uuid import UUID

import pytest

from ledger.rollout import EVERYONE, Rollout, bucket, choose, unit_bytes, unit_hash

UNITS = 40_000
KINDS: dict[str, Callable[[int], str]] = {
    "names": "session-{}".format,
    "numbers": str,
    "uuids": lambda number: str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)),
    "long texts": lambda number: f"{'player of the forest glade ' * 8}{number:x}",
}
CONFIG_ID = "0190a1b2-0000-7000-8000-000000000001"
SALTS = {
    "enrolment": "boost",
    "variation": "boost:variation",
    "group": "boost:group",
    "holdout": "boost:holdout",
    "another experiment": "boost-2",
    "a config": CONFIG_ID,
    "the next config": CONFIG_ID[:-1] + "2",
    "one character": "b",
}
LUCK = 4.9
"""Standard deviations that one draw in a million exceeds."""


def units(kind: str) -> list[str]:
    return [KINDS[kind](number) for number in range(UNITS)]


def most_chi_square(freedom: int) -> float:
    """Bound a chi-square statistic, by Wilson and Hilferty's approximation."""
    spread = 2 / (9 * freedom)
    return freedom * float((1 - spread + LUCK * sqrt(spread)) ** 3)


def chi_square(counts: Sequence[int], expected: Sequence[float]) -> float:
    return sum((n - fair) ** 2 / fair for n, fair in zip(counts, expected, strict=True))


# --- Shares ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thousandths", [100, 1_000, 5_000, 35_000, 50_000, 90_000, 99_900])
def test_a_share_is_within_binomial_bounds(kind: str, thousandths: int) -> None:
    rollout, share = Rollout(thousandths), thousandths / EVERYONE
    included = sum(rollout.includes(unit, CONFIG_ID, 0) for unit in units(kind))
    assert abs(included - UNITS * share) <= LUCK * sqrt(UNITS * share * (1 - share))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("salt", SALTS.values(), ids=list(SALTS))
def test_no_bucket_is_favoured(kind: str, salt: str) -> None:
    counts = Counter(bucket(salt, unit) * 200 // EVERYONE for unit in units(kind))
    found = chi_square([counts[n] for n in range(200)], [UNITS / 200] * 200)
    assert found < most_chi_square(199)


@pytest.mark.parametrize("weights", [(1, 1), (50, 30, 20), (1, 0, 99), (7, 7, 7, 7, 7, 7, 7)])
def test_variations_are_drawn_by_their_weights(weights: tuple[int, ...]) -> None:
    drawn = Counter(choose(weights, unit_hash("boost:variation", unit)) for unit in units("uuids"))
    possible = [n for n, weight in enumerate(weights) if weight]
    fair = [UNITS * weights[n] / sum(weights) for n in possible]
    assert drawn.keys() == set(possible)
    assert chi_square([drawn[n] for n in possible], fair) < most_chi_square(len(possible) - 1)


# --- Independence ---


def dependence(one: Callable[[str], int], other: Callable[[str], int], kind: str) -> float:
    """Return the chi-square statistic of the table of ten by ten that two draws make."""
    table = Counter((one(unit) * 10 >> 32, other(unit) * 10 >> 32) for unit in units(kind))
    counts = [[table[row, column] for column in range(10)] for row in range(10)]
    rows, columns = [*map(sum, counts)], [*map(sum, zip(*counts, strict=True))]
    fair = [row * column / UNITS for row in rows for column in columns]
    return chi_square([count for row in counts for count in row], fair)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("one", "other"), list(combinations(SALTS, 2)))
def test_two_purposes_draw_independently(one: str, other: str, kind: str) -> None:
    draws = [lambda unit, salt=SALTS[name]: unit_hash(salt, unit) for name in (one, other)]
    assert dependence(draws[0], draws[1], kind) < most_chi_square(81)


def test_a_linear_hash_would_fail_this_test() -> None:
    def crc32(salt: str) -> Callable[[str], int]:
        return lambda unit: zlib.crc32(f"{salt}:{unit}".encode())

    assert dependence(crc32("boost"), crc32("sales"), "names") > 100 * most_chi_square(81)


def test_who_is_early_in_a_rollout_is_in_every_variation_alike() -> None:
    early = [unit for unit in units("names") if bucket("boost", unit) < 10_000]
    drawn = Counter(choose((1, 1), unit_hash("boost:variation", unit)) for unit in early)
    assert abs(drawn[0] - drawn[1]) <= LUCK * sqrt(len(early))


def test_numbers_are_units_as_good_as_texts() -> None:
    texts = [unit_bytes(number) for number in range(UNITS)]
    assert texts == [str(number).encode() for number in range(UNITS)]
