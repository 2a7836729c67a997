"""Signatures: those of RFC 8032, and notes signed with the journal's key."""

import base64

import pytest
from django.core.exceptions import ImproperlyConfigured

from compliance.journal.signing import Signer
from compliance.tree import ed25519
from compliance.tree.hashing import Broken
from compliance.tree.notes import Allowed, Checkpoint, Unreadable, open_note, read_keys

# RFC 8032, section 7.1: secret key, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493


def signer(byte=b"k", *retired):
    return Signer(base64.b64encode(byte * 32).decode(), retired)


@pytest.fixture(params=["plain", "package"])
def valid(request):
    return ed25519.ed25519_valid if request.param == "plain" else ed25519.signature_valid


@pytest.mark.parametrize(("secret", "public", "message", "signature"), VECTORS)
def test_it_takes_the_signatures_of_the_specification_and_no_altered_one(valid, secret, public, message, signature):
    public, message, signature = (bytes.fromhex(text) for text in (public, message, signature))
    assert Signer(base64.b64encode(bytes.fromhex(secret)).decode()).sign(message) == signature
    assert valid(public, message, signature)
    assert not valid(public, message + b"x", signature)
    for place in (0, 31, 32, 63):
        altered = bytearray(signature)
        altered[place] ^= 1
        assert not valid(public, message, bytes(altered))
    assert not valid(bytes([public[0] ^ 1]) + public[1:], message, signature)
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    assert not valid(public, message, signature[:32] + scalar.to_bytes(32, "little"))  # malleable
    assert not valid(public, message, signature[:63])
    assert not valid(b"\xff" * 32, message, signature)


def test_it_signs_notes_that_open_with_its_public_key_only():
    note = signer().note(["one", "two"])
    assert open_note(note, read_keys(signer().public_key())) == ["one", "two"]
    with pytest.raises(Broken, match="not signed"):
        open_note(note, read_keys(signer(b"x").public_key()))
    with pytest.raises(Broken, match="not signed"):
        open_note(note.replace("two", "too"), signer().keys)
    with pytest.raises(Broken, match="not signed"):
        open_note("one\ntwo\n\n\u2014 other AAAAAAAA\n", signer().keys)
    for junk in (note + "x", note + "x\n", note[:-1], "one\ntwo\n", ""):
        with pytest.raises(Broken, match="form of a note"):
            open_note(junk, signer().keys)


def test_it_knows_retired_keys():
    note = signer(b"o").note(["one"])
    assert open_note(note, signer(b"n", signer(b"o").public_key()).keys) == ["one"]


@pytest.mark.parametrize("key", ["", "short", base64.b64encode(b"k" * 31).decode(), "ü"])
def test_it_refuses_what_is_no_key(key):
    with pytest.raises(ImproperlyConfigured, match="SIGNING_KEY"):
        Signer(key)


@pytest.mark.parametrize("line", ["", "clawdbot", "clawdbot+00000000+AAAA", "clawdbot+00000000+%%"])
def test_it_refuses_what_is_no_public_key(line):
    with pytest.raises(Unreadable):
        read_keys(line)
    if line:
        with pytest.raises(ImproperlyConfigured, match="SIGNING_RETIRED_KEYS"):
            signer(b"k", line)


def test_it_refuses_signed_notes_that_are_no_checkpoint_of_the_tenant():
    good = ["clawdbot/journal/7", "5", base64.b64encode(b"r" * 32).decode(), "time 12.5"]
    read = Checkpoint(signer().note(good), signer().keys, 7)
    assert (read.size, read.root, read.time) == (5, b"r" * 32, 12.5)
    for lines in (good[:2], good[:3], ["clawdbot/journal/8", *good[1:]], [good[0], "five", *good[2:]], ["", *good]):
        with pytest.raises(Broken):
            Checkpoint(signer().note(lines), signer().keys, 7)


def test_it_allows_exactly_the_positions_that_were_named():
    allowed = Allowed()
    assert list(allowed.missing(3, 5)) == [(3, 5)]
    allowed.add([(10, 20), (0, 3)])
    allowed.add([(15, 25), (3, 4)])
    assert list(allowed.missing(0, 4)) == []
    assert list(allowed.missing(2, 12)) == [(4, 10)]
    assert list(allowed.missing(24, 30)) == [(25, 30)]
    assert list(allowed.missing(11, 25)) == []
    assert list(allowed.missing(0, 30)) == [(4, 10), (25, 30)]
