"""Texts of others as pages show them."""

import pytest

from access.console.texts import LONGEST_ADDRESS, short_address, with_code


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("Plain.", "Plain."),
        ("Sets `intent` and `score`.", "Sets <code>intent</code> and <code>score</code>."),
        ("`a`", "<code>a</code>"),
        ("One ` alone", "One ` alone"),
        ("`a` and ` alone", "<code>a</code> and ` alone"),
        ("<b>{x}</b> `<script>{0}`", "&lt;b&gt;{x}&lt;/b&gt; <code>&lt;script&gt;{0}</code>"),
        ("``", "<code></code>"),
    ],
)
def test_what_stands_between_back_quotes_is_code(text, shown):
    assert with_code(text) == shown


def test_an_address_is_shown_without_its_query_and_not_longer_than_a_column():
    assert short_address("https://example.com/in?token=secret") == "https://example.com/in"
    long = "https://example.com/" + "x" * 100
    assert short_address(long) == long[:LONGEST_ADDRESS] + "…"
    assert short_address("") == ""
