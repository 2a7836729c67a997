"""What is stored of a turn opens with its user's key, in its own place, unaltered, and not otherwise."""

import sqlite3
from contextlib import closing
from types import SimpleNamespace

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from compliance.journal.slots import claim
from compliance.journal.sqlite import SqliteStore
from compliance.journal.store import RecordRefused
from compliance.sealing import body, splitting
from compliance.sealing.opening import Opener, clear
from engine.entries import Completion, Intent, Retry
from engine.errors import AuditUnavailable
from engine.snapshots import Cell
from engine.types import Choice, Message, Usage, Verdict
from tests.compliance.journals import KEYS, completion, intent, rows, sealer, writer_on
from tests.compliance.sealed import opened, stored

KEY, ID, NONCE = bytes(range(32)), bytes(range(16)), bytes(range(12))
PLACE = ("01a2", "intent", 0, 7)
KNOWN = "010000000f7b2265646765223a2272657374227d000102030405060708090a0b0c0d0e0f000102030405060708090a0b"


def entry(content: bytes, place=PLACE) -> SimpleNamespace:
    return SimpleNamespace(**dict(zip(("turn_id", "kind", "number", "tenant_id"), place, strict=True)), body=content)


def test_it_has_the_documented_form():
    made = body.seal(body.unsealed(b'{"edge":"rest"}', b'{"user":"u"}'), AESGCM(KEY), ID, NONCE, PLACE)
    assert made.hex().startswith(KNOWN)
    place = b"".join((b"\0\0\0\x04", b"\0\0\0\x06", b"\0\0\0\0", b"\0\0\0\0\0\0\0\x07", b"01a2", b"intent"))
    other = Cipher(algorithms.AES(KEY), modes.GCM(NONCE)).encryptor()
    other.authenticate_additional_data(place + b'{"edge":"rest"}')
    ciphertext = other.update(b'{"user":"u"}') + other.finalize()
    assert made == bytes.fromhex(KNOWN) + ciphertext + other.tag
    read = body.read(made)
    assert (read.clear, read.key_id) == (b'{"edge":"rest"}', ID.hex())
    assert body.open_text(read, AESGCM(KEY), entry(made)) == b'{"user":"u"}'


def test_it_opens_nothing_that_was_altered_or_moved():
    made = body.seal(body.unsealed(b'{"edge":"rest"}', b'{"user":"u"}'), AESGCM(KEY), ID, NONCE, PLACE)
    for place in (("01a3", *PLACE[1:]), ("01a2", "completion", 0, 7), ("01a2", "intent", 1, 7), (*PLACE[:3], 8)):
        with pytest.raises(InvalidTag):
            body.open_text(body.read(made), AESGCM(KEY), entry(made, place))
    for position in range(len(made)):
        altered = bytearray(made)
        altered[position] ^= 0x01
        if 20 <= position < 36:  # the id of the key: another key, or none
            assert body.read(bytes(altered)).key_id != ID.hex()
            continue
        with pytest.raises((body.BodyBroken, InvalidTag)):
            body.open_text(body.read(bytes(altered)), AESGCM(KEY), entry(bytes(altered)))
    for length in range(len(made)):
        with pytest.raises((body.BodyBroken, InvalidTag)):
            body.open_text(body.read(made[:length]), AESGCM(KEY), entry(made))


def test_no_two_places_have_the_same_associated_data():
    one = body.associated("ab", "c", 0, 1, b"d")
    assert body.associated("a", "bc", 0, 1, b"d") != one and body.associated("ab", "", 0, 1, b"cd") != one


def asked_with(text: str) -> Intent:
    """The text stands in every field that somebody may fill."""
    calls = [{"id": text, "type": "function", "function": {"name": text, "arguments": text}}]
    message = Message(
        "user", text, name=text, tool_calls=calls, tool_call_id=text, reasoning_content=text, refusal=text
    )
    return intent(
        request_id=text, subject=text, user=text, messages=[message, Message("user", [{"type": "text", "text": text}])],
        params={"stop": [text], text: 1}, decision={"features": {"metadata": text}},
        verdicts=[Verdict("list", 1, text, "record", "input")], rules=["rule"], instance="i",
    )  # fmt: skip


def told_with(text: str, asked: Intent) -> Completion:
    message = Message("assistant", text, tool_calls=[{"id": text}], reasoning_content=text, refusal=text)
    return msgspec.structs.replace(
        completion(asked), choices=[Choice(message, "stop", logprobs={"content": [{"token": text}]})], error="code",
        retries=[Retry(1, "i", "upstream_error", 0.5)], decision={"features": {"metadata": text}}, ttft=0.5,
        duration=1.0, verdicts=[Verdict("list", 1, text, "mask", "output")],
    )  # fmt: skip


@given(st.text(alphabet=st.characters(min_codepoint=33, exclude_categories=("Cs",)), min_size=1, max_size=40))
def test_no_text_is_readable_without_a_key(text):
    text = f"canary{text}"
    asked = asked_with(text)
    told = told_with(text, asked)
    for row in (splitting.intent_row(asked, "w"), splitting.completion_row(told, "w")):
        assert "canary" in repr(row)
        (made,), _ = sealer().seal([row], {told.turn_id: text})
        assert "canary" not in repr(made)
        readable = msgspec.json.decode(clear(entry(made[-1])))
        assert readable["verdicts"] == [{**readable["verdicts"][0], "word": "", "list": "list"}]
        assert set(readable) <= splitting.CLEAR | {"verdicts"}


async def test_no_file_of_the_journal_holds_what_was_said(journal_file):
    asked = asked_with("canary-5d8f")
    told = told_with("canary-5d8f", asked)
    writer = writer_on(journal_file)
    await writer.start()
    await writer.intent(asked)
    await writer.completion(told)
    files = [path for path in journal_file.parent.iterdir() if path.is_file()]
    assert {path.suffix for path in files} >= {".sqlite3", ".sqlite3-wal"}
    assert not any(b"canary" in path.read_bytes() for path in files)
    first, second = opened(journal_file)
    assert msgspec.json.decode(first.json, type=Intent) == asked
    assert msgspec.json.decode(second.json, type=Completion) == told
    await writer.stop()


def test_what_statistics_need_stays_readable():
    told = told_with("w", asked_with("w"))
    (made,), _ = sealer().seal([splitting.completion_row(told, "w")], {})
    found = msgspec.json.decode(clear(entry(made[-1])))
    assert (found["state"], found["error"], found["ttft"], found["duration"]) == ("completed", "code", 0.5, 1.0)
    assert msgspec.convert(found["usage"], Usage) == told.usage
    assert msgspec.convert(found["retries"], list[Retry]) == told.retries


def row_of(user: str = "u", tenant_id: int = 1):
    return splitting.intent_row(intent(user=user, tenant_id=tenant_id), "w")


def test_it_seals_a_users_turns_with_one_key_and_another_users_with_another():
    own = sealer()
    made, keys = own.seal([row_of("a"), row_of("b"), row_of("a"), row_of("a", tenant_id=2)], {})
    ids = [body.read(row[-1]).key_id for row in made]
    assert ids[0] == ids[2] and len(set(ids)) == 3
    assert [key[0] for key in keys] == [ids[0], ids[1], ids[3]]
    assert [key[1] for key in keys] == [1, 1, 2]
    assert [row[7] for row in made] == [KEYS[t].pseudonym(u) for t, u in ((1, "a"), (1, "b"), (1, "a"), (2, "a"))]
    assert made[0][7] != made[3][7]
    nonces = [body.read(row[-1]).nonce for row in made if body.read(row[-1]).key_id == ids[0]]
    assert len(set(nonces)) == 2


def test_it_seals_an_end_with_the_key_of_its_turns_user():
    own = sealer()
    asked = intent(user="a")
    (first,), _ = own.seal([splitting.intent_row(asked, "w")], {})
    (second,), keys = own.seal([splitting.completion_row(completion(asked), "w")], {asked.turn_id: "a"})
    assert body.read(first[-1]).key_id == body.read(second[-1]).key_id and [key[0] for key in keys]
    assert second[7] == ""


def test_it_brings_a_key_until_it_is_durable():
    own = sealer()
    _, keys = own.seal([row_of()], {})
    again, same = own.seal([row_of()], {})
    assert same == keys
    own.durable(keys)
    later, none = own.seal([row_of()], {})
    assert none == [] and body.read(later[0][-1]).key_id == body.read(again[0][-1]).key_id == keys[0][0]


def test_it_keeps_only_so_many_keys_at_hand():
    own = sealer(most=3)
    made, keys = own.seal([row_of(f"u{number}") for number in range(10)], {})
    assert len({body.read(row[-1]).key_id for row in made}) == len(keys) == 10
    assert len(own._known) == len(own._pending) == 3
    own.durable(keys)
    _, known = own.seal([row_of("u9")], {})
    _, evicted = own.seal([row_of("u0")], {})
    assert (known, len(evicted)) == ([], 1)
    assert evicted[0][0] != keys[0][0] and evicted[0][2] == keys[0][2]


def test_it_never_again_uses_a_key_that_was_forgotten():
    own = sealer()
    _, keys = own.seal([row_of("a"), row_of("b")], {})
    own.durable(keys)
    own.forget([(1, KEYS[1].pseudonym("a")), (2, KEYS[2].pseudonym("b"))])
    _, new = own.seal([row_of("a"), row_of("b")], {})
    assert [key[2] for key in new] == [KEYS[1].pseudonym("a")] and new[0][0] != keys[0][0]


def test_what_is_left_of_a_tenant_that_is_gone_opens_for_nobody():
    cell = Cell({1: KEYS[1]})
    own = type(sealer())(cell)
    assert own.knows(1) and not own.knows(2)
    made, keys = own.seal([row_of(tenant_id=2)], {})
    assert keys == [] and made[0][7] == "" and body.read(made[0][-1]).key_id is not None
    cell.swap({1: KEYS[1], 2: KEYS[2]})
    made, keys = own.seal([row_of(tenant_id=2)], {})
    assert len(keys) == 1 and body.read(made[0][-1]).key_id == keys[0][0]


def test_it_opens_for_the_right_tenant_only():
    (made,), ((key_id, _, _, wrapped, _),) = sealer().seal([row_of()], {})
    place = entry(made[-1], (made[0], "intent", 0, 1))
    (right,) = Opener(KEYS.get, lambda tenant_id, ids: {key_id: wrapped}).open([place])
    assert right.text and msgspec.json.decode(right.json, type=Intent).user == "u"
    (wrong,) = Opener(lambda tenant_id: KEYS[2], lambda tenant_id, ids: {key_id: wrapped}).open([place])
    (lost,) = Opener(lambda tenant_id: None, lambda tenant_id, ids: {key_id: wrapped}).open([place])
    (erased,) = Opener(KEYS.get, lambda tenant_id, ids: {}).open([place])
    (broken,) = Opener(KEYS.get, lambda tenant_id, ids: {}).open([entry(b"\x07", (made[0], "intent", 0, 1))])
    states = [(each.text, each.erased) for each in (wrong, lost, erased, broken)]
    assert states == [(False, False), (False, False), (False, True), (False, False)]


def test_a_key_is_stored_with_its_first_entry_or_not_at_all(journal_file):
    store = SqliteStore(claim(journal_file), "w1")
    store.open()
    made, keys = sealer().seal([row_of("a"), row_of("b")], {})
    refused = (*made[1][:4], "\udc80", *made[1][5:])
    with pytest.raises(RecordRefused):
        store.append([made[0], refused], keys)
    with closing(sqlite3.connect(journal_file)) as database:
        assert database.execute("SELECT COUNT(*) FROM compliance_subjectkey").fetchone() == (0,)
        assert rows(journal_file) == []
    store.append(made, keys)
    with closing(sqlite3.connect(journal_file)) as database:
        found = database.execute(
            "SELECT id, tenant_id, subject FROM compliance_subjectkey ORDER BY created_at"
        ).fetchall()
    assert sorted(found) == sorted(key[:3] for key in keys)
    store.close(finished=True)


async def test_it_refuses_turns_of_a_tenant_without_a_key(journal_file):
    writer = writer_on(journal_file)
    await writer.start()
    with pytest.raises(AuditUnavailable):
        await writer.intent(intent(tenant_id=999))
    await writer.intent(intent())
    assert [each.tenant_id for each in stored(journal_file)] == [1]
    await writer.stop()
