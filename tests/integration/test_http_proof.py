"""Proofs over HTTP hold by themselves: what is answered is checked with nothing but the key."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from commands.http import proof as routes
from commands.identity import SYSTEM
from commands.ledger import Order
from ledger import merkle
from ledger.intents import KillLever
from ledger.merkle import Hash, leaf_hash, root_of
from ledger.notes import Checkpoint, Signer, open_checkpoint
from ledger.store import LedgerStore
from ledger.tiles import Entries, Tile, nodes_of, unpack_entries
from projections.catalogue import install
from projections.signing import Signing
from projections.tree import TreeView
from projections.views import connect
from tests.integration.calling import DROPS, SKILLS, Api, problem, serving
from tests.integration.projecting import project

Json = Any

SIGNER = Signer.generate("the-log", bytes(32))
GLADE = {"session_id": "s", "world_id": "world.forest_glade"}


@pytest.fixture
def api(store: LedgerStore, database: str) -> Iterator[Api]:
    install(database)
    with serving(store, database) as served:
        served.activated()
        served.activated(SKILLS)
        yield served


def sign(database: str) -> None:
    project(database, [TreeView()])
    connection = connect(database)
    Signing([SIGNER]).look(connection)
    connection.close()


def head(api: Api) -> Checkpoint:
    answer = api.get("/proof/checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return open_checkpoint(answer.text, [SIGNER.verifier])


def hashes(written: list[str]) -> list[Hash]:
    return list(map(b64decode, written))


def envelopes(api: Api) -> list[bytes]:
    return [stored.envelope() for stored in api.ledger.store.read(after=0, limit=10_000)]


def test_before_anything_is_signed_there_is_no_checkpoint(api: Api) -> None:
    problem(api.get("/proof/checkpoint"), 404, "not-signed")
    problem(api.get("/proof/inclusion", position=1), 404, "not-signed")
    assert api.get("/proof/checkpoints").json() == {"checkpoints": [], "next": None}
    assert api.get("/proof/keys").json()["keys"] == []


def test_the_checkpoint_is_of_the_events_as_they_are_shown(api: Api, database: str) -> None:
    sign(database)
    checkpoint = head(api)
    lines = api.call("GET", "/events", headers={"Accept": "application/x-ndjson"}).content
    leaves = list(map(leaf_hash, lines.splitlines()))
    assert (checkpoint.size, checkpoint.root) == (len(leaves), root_of(leaves))
    keys = api.get("/proof/keys").json()
    assert keys == {"origin": checkpoint.origin, "keys": [SIGNER.verifier.text()]}


def test_checkpoints_are_listed_page_by_page(api: Api, database: str) -> None:
    sizes = []
    for _ in range(3):
        sign(database)
        sizes.append(api.head())
        api.created()
    pages, cursor = [], None
    while True:
        page = api.get("/proof/checkpoints", limit=1, **({"cursor": cursor} if cursor else {}))
        pages += page.json()["checkpoints"]
        if (cursor := page.json()["next"]) is None:
            break
    assert [each["size"] for each in pages] == sizes
    assert open_checkpoint(pages[1]["note"], [SIGNER.verifier]).size == sizes[1]


def test_every_event_is_proved_at_every_size(api: Api, database: str) -> None:
    sign(database)
    whole = head(api)
    shown = envelopes(api)
    for position in range(1, whole.size + 1):
        for size in {whole.size, position}:
            proved = api.get("/proof/inclusion", position=position, size=size).json()
            leaf = leaf_hash(proved["envelope"].encode())
            root = b64decode(proved["root"])
            assert proved["envelope"].encode() == shown[position - 1]
            merkle.check_inclusion(leaf, position - 1, size, hashes(proved["proof"]), root)
            assert (proved["checkpoint"] is not None) == (size == whole.size)
            assert size != whole.size or root == whole.root


def test_every_size_is_proved_to_be_how_the_log_began(api: Api, database: str) -> None:
    sign(database)
    whole = head(api)
    leaves = list(map(leaf_hash, envelopes(api)))
    for old in range(1, whole.size + 1):
        proved = api.get("/proof/consistency", old=old).json()
        before = root_of(leaves[:old])
        assert b64decode(proved["old_root"]) == before
        proof = hashes(proved["proof"])
        merkle.check_consistency(old, whole.size, proof, before, whole.root)


def test_what_is_not_there_is_not_proved(api: Api, database: str) -> None:
    sign(database)
    for path in (
        "inclusion?position=99",
        "inclusion?position=1&size=99",
        "inclusion?position=3&size=2",
        "consistency?old=99",
        "consistency?old=3&new=2",
        "consistency?old=1&new=99",
    ):
        assert problem(api.call("GET", f"/proof/{path}"), 404, "not-found")["errors"]


# --- Tiles ---


def test_the_tree_can_be_put_together_from_tiles(api: Api, database: str) -> None:
    sign(database)
    whole = head(api)

    def fetched(*tile: int) -> bytes:
        return api.get(f"/proof/tile/{Tile(*tile).path}").content

    assert merkle.root(whole.size, nodes_of(fetched, whole.size)) == whole.root


def test_a_bundle_holds_the_events_of_a_tile(api: Api, database: str) -> None:
    sign(database)
    answer = api.get(f"/proof/tile/{Entries(0, api.head()).path}")
    assert unpack_entries(answer.content) == envelopes(api)
    assert "immutable" in answer.headers["cache-control"]


def test_an_event_that_no_bundle_can_hold_is_told(api: Api, database: str) -> None:
    order = Order(SYSTEM, "for reasons" * 6000)
    api.ledger.execute(order, lambda _: KillLever("DIALOGUE_GATE"))
    sign(database)
    path = Entries(0, api.head()).path
    problem(api.get(f"/proof/tile/{path}"), 422, "entry-too-long")
    assert api.get(f"/proof/tile/{Entries(0, api.head() - 1).path}").status_code == 200


def test_a_tile_that_is_not_there_is_refused(api: Api, database: str) -> None:
    sign(database)
    for path in ("0/000", "1/000.p/1", "0/000.p/99", "entries/000", "0/0", "x"):
        problem(api.get(f"/proof/tile/{path}"), 404, "no-such-tile")


# --- Answers ---


def proved_answer(api: Api, **question: Json) -> tuple[Json, Json]:
    answer = api.post("/resolve", question)
    token = answer.json()["token"]
    proved = api.get("/proof/answer", token=token)
    assert proved.status_code == 200, proved.text
    assert proved.json()["answer"].encode() == answer.content
    return answer.json(), proved.json()


def check_answer(proved: Json) -> None:
    signed = open_checkpoint(proved["checkpoint"], [SIGNER.verifier])
    assert (signed.size, signed.root) == (proved["size"], b64decode(proved["root"]))
    merkle.check_consistency(
        proved["position"],
        signed.size,
        hashes(proved["consistency"]),
        b64decode(proved["position_root"]),
        signed.root,
    )
    for event in proved["events"]:
        leaf = leaf_hash(event["envelope"].encode())
        index = event["position"] - 1
        merkle.check_inclusion(leaf, index, signed.size, hashes(event["proof"]), signed.root)


def test_an_answer_comes_with_the_events_behind_it(api: Api, database: str) -> None:
    api.post("/levers/DIALOGUE_GATE/kill")
    sign(database)
    answer, proved = proved_answer(api, context=GLADE)
    check_answer(proved)
    supplied = {what: event["position"] for event in proved["events"] for what in event["supplies"]}
    assert supplied == {
        "catalog": 1,
        "lever:DROP_RATE_LEGENDARY_MULTIPLIER": 3,
        "kill:DIALOGUE_GATE": 6,
    }
    (event,) = [e for e in proved["events"] if e["position"] == 3]
    told = orjson.loads(event["envelope"])["data"]["activation"]["payload"]
    assert told == DROPS["payload"]
    assert answer["values"]["DROP_RATE_LEGENDARY_MULTIPLIER"] == 1.5


def test_an_experiment_and_a_freeze_are_behind_it_too(api: Api, database: str) -> None:
    variations = [{"name": "a", "weight": 1}]
    body = {"experiment_id": "drops", "variations": variations, "percentage": 100}
    assert api.post("/experiments", body).status_code < 300
    assert api.post("/freeze", {"scope": "global"}).status_code < 300
    sign(database)
    _, proved = proved_answer(api, context=GLADE)
    check_answer(proved)
    supplied = {what for event in proved["events"] for what in event["supplies"]}
    assert supplied >= {"experiment:drops", "freeze:global"}


def test_an_answer_of_the_past_is_the_beginning_of_what_was_signed_later(
    api: Api, database: str
) -> None:
    _, before = api.activated(), api.head()
    api.activated(SKILLS)
    sign(database)
    _, proved = proved_answer(api, context=GLADE, position=before)
    check_answer(proved)
    assert proved["position"] == before < proved["size"]
    assert b64decode(proved["position_root"]) == root_of(map(leaf_hash, envelopes(api)[:before]))


def test_an_answer_that_is_not_signed_yet_is_to_be_asked_for_again(
    api: Api, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "PATIENCE_SECONDS", 0.0)
    sign(database)
    api.created()
    token = api.post("/resolve", {"context": GLADE}).json()["token"]
    told = problem(api.get("/proof/answer", token=token), 503, "behind")
    assert "signed up to position" in told["detail"]


def test_a_damaged_token_proves_nothing(api: Api, database: str) -> None:
    sign(database)
    problem(api.get("/proof/answer", token="nonsense"), 400, "bad-token")
