import base64

import pytest

from tenants.secrets import SealBroken, Vault, master_keys, open_sealed, seal

PLACE = {"tenant_id": 1, "row_id": 7, "purpose": "provider key"}


def test_it_opens_what_it_sealed():
    vault = Vault(["master"])
    sealed = vault.seal("sk-geheim-密钥", **PLACE)
    assert "geheim" not in sealed
    assert vault.open(sealed, **PLACE) == "sk-geheim-密钥"
    assert vault.seal("sk-geheim-密钥", **PLACE) != sealed


@pytest.mark.parametrize(
    "other",
    [{"tenant_id": 2}, {"tenant_id": None}, {"row_id": 8}, {"purpose": "webhook"}, {"tenant_id": 17, "row_id": 7}],
)
def test_it_does_not_open_a_text_copied_to_another_row_tenant_or_use(other):
    vault = Vault(["master"])
    sealed = vault.seal("sk-secret", **PLACE)
    with pytest.raises(SealBroken):
        vault.open(sealed, **PLACE | other)


def test_it_notices_every_flipped_byte():
    vault = Vault(["master"])
    version, key_id, body = vault.seal("sk", **PLACE).split(".")
    raw = base64.urlsafe_b64decode(body)
    for position in range(len(raw)):
        broken = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises(SealBroken):
            vault.open(f"{version}.{key_id}.{base64.urlsafe_b64encode(broken).decode()}", **PLACE)


@pytest.mark.parametrize("text", ["", "sk-plain", "v1", "v1..", "v2.00000000.AAAA", "v1.00000000.AAAA", "v1.é.é"])
def test_it_refuses_what_was_never_sealed(text):
    with pytest.raises(SealBroken):
        Vault(["master"]).open(text, **PLACE)


def test_it_refuses_a_short_or_unreadable_body():
    vault = Vault(["master"])
    start = vault.seal("sk", **PLACE).rpartition(".")[0]
    for body in ("", "AA", "!!!!", "é", "A" * 36):
        with pytest.raises(SealBroken):
            vault.open(f"{start}.{body}", **PLACE)


def test_it_seals_with_the_first_master_key_and_opens_with_any():
    old, both, new = Vault(["old"]), Vault(["new", "old"]), Vault(["new"])
    sealed = old.seal("sk", **PLACE)
    assert both.open(sealed, **PLACE) == "sk"
    again = both.seal("sk", **PLACE)
    assert new.open(again, **PLACE) == "sk"
    with pytest.raises(SealBroken):
        new.open(sealed, **PLACE)
    with pytest.raises(SealBroken):
        old.open(again, **PLACE)


@pytest.mark.parametrize("keys", [[], [""], ["good", ""]])
def test_it_needs_a_master_key(keys):
    with pytest.raises(ValueError, match="master key"):
        Vault(keys)


def test_it_reads_the_master_keys_from_the_settings(settings):
    settings.MASTER_KEY, settings.MASTER_KEY_FILE = "old", None
    sealed = seal("sk", **PLACE)
    settings.MASTER_KEY = "new, old"
    assert open_sealed(sealed, **PLACE) == "sk"


def test_a_file_that_is_being_written_says_what_it_said_last(settings, tmp_path):
    """Not what it said at the start: that may be a key that is no longer in use."""
    file = tmp_path / "master_key"
    settings.MASTER_KEY, settings.MASTER_KEY_FILE = "old", file
    file.write_text("new,old")
    sealed = seal("sk", **PLACE)
    file.write_text("")
    assert open_sealed(sealed, **PLACE) == "sk"
    file.unlink()
    assert open_sealed(sealed, **PLACE) == "sk"


def test_nothing_is_sealed_with_half_a_key(settings, tmp_path):
    old, new, file = "Zu4-kQ9x" * 5, "q8Zr-Lw3" * 5, tmp_path / "master_key"
    settings.MASTER_KEY, settings.MASTER_KEY_FILE = old, file
    for text in (new[:31], f"{new[:7]},{old}", f"{old},", f"{old},{new[:9]}"):
        file.write_text(text)
        assert master_keys() == [old]
    file.write_text(f"{old},{new}\n")
    assert master_keys() == [old, new]
