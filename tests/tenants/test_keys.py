import string

import pytest

from tenants import keys


def test_it_makes_keys_of_256_random_bits_that_are_well_formed():
    made = {keys.new_key() for _ in range(500)}
    assert len(made) == 500
    assert all(keys.well_formed(key) and key.startswith("cb_") and len(key) == 52 for key in made)
    assert len(keys.ALPHABET) ** keys.BODY >= 2**256
    assert {digit for key in made for digit in key[3:]} == set(keys.ALPHABET)


def test_it_refuses_every_typing_mistake_of_one_digit_and_every_swap():
    key = keys.new_key()
    for position in range(3, len(key)):
        other = "a" if key[position] != "a" else "b"
        assert not keys.well_formed(key[:position] + other + key[position + 1 :])
    swapped = [key[:i] + key[i + 1] + key[i] + key[i + 2 :] for i in range(3, len(key) - 1) if key[i] != key[i + 1]]
    assert not any(keys.well_formed(other) for other in swapped)


@pytest.mark.parametrize("text", ["", "cb_", "sk-abc", "cb_" + "a" * 49, "cb_" + "٣" * 49, "CB_" + "a" * 49])
def test_it_refuses_what_is_no_key(text):
    assert not keys.well_formed(text)


def test_it_refuses_anything_after_or_before_a_key():
    key = keys.new_key()
    for text in (key + "\n", key + "a", " " + key, key[:-1], key + "\x00"):
        assert not keys.well_formed(text)


def test_it_stores_a_digest_and_a_hint_from_which_the_key_cannot_be_made():
    key = keys.from_digits("7" * keys.BODY)
    assert len(keys.digest(key)) == 64
    assert set(keys.digest(key)) <= set(string.hexdigits)
    assert keys.hint(key) == "cb_77777"
