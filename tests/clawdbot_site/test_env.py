import pytest
from django.core.exceptions import ImproperlyConfigured

from clawdbot_site import env


def test_it_reads_a_secret_from_a_file(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("from the file\n")
    monkeypatch.setenv("API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.delenv("API_KEY", raising=False)
    assert env.text("API_KEY") == "from the file"
    monkeypatch.setenv("API_KEY", "given")
    assert env.text("API_KEY") == "given"


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda: env.whole("BAD", 1), "eight"),
        (lambda: env.whole("BAD", 1, low=1), "0"),
        (lambda: env.whole("BAD", 1, high=5), "6"),
        (lambda: env.seconds("BAD", 1), "-1"),
        (lambda: env.seconds("BAD", 1), "nan"),
        (lambda: env.seconds("BAD", 1), "inf"),
        (lambda: env.flag("BAD", True), "maybe"),
        (lambda: env.url("BAD"), "ai.acme.example"),
        (lambda: env.url("BAD"), "//ai.acme.example"),
        (lambda: env.url("BAD"), "https://"),
        (lambda: env.url("BAD"), "https://ai.acme.example:port"),
        (lambda: env.url("BAD"), "https://me@ai.acme.example"),
        (lambda: env.url("BAD"), "https://ai.acme.example/?x"),
        (lambda: env.url("BAD"), "https://[::1"),
        (lambda: env.url("BAD"), "wss://ai.acme.example"),
    ],
)
def test_it_names_the_variable_it_refuses(monkeypatch, read, value):
    monkeypatch.setenv("BAD", value)
    with pytest.raises(ImproperlyConfigured, match="^BAD: "):
        read()


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("HTTPS://AI.Acme.Example:443/X/", "https://ai.acme.example/X"),
        ("https://ai.acme.example:8443", "https://ai.acme.example:8443"),
        ("http://[::1]:80/", "http://[::1]"),
        ("", ""),
    ],
)
def test_it_reads_an_address_as_browsers_write_it(monkeypatch, given, read):
    """Else cookies would travel unsecured, or forms be refused, for a letter."""
    monkeypatch.setenv("ADDRESS", given)
    assert env.url("ADDRESS") == read


def test_it_names_a_secret_file_it_cannot_read(monkeypatch, tmp_path):
    monkeypatch.setenv("BAD_FILE", str(tmp_path / "absent"))
    with pytest.raises(ImproperlyConfigured, match="^BAD_FILE: "):
        env.text("BAD")


def test_it_reads_a_comma_list(monkeypatch):
    monkeypatch.setenv("HOSTS", " a, b ,,c ")
    assert env.words("HOSTS") == ["a", "b", "c"]


def test_it_makes_a_secret_once_and_for_its_owner_only(monkeypatch, tmp_path):
    monkeypatch.delenv("SOME_KEY", raising=False)
    made = iter(["first", "second"])
    file = tmp_path / "deep" / "key"
    assert env.secret("SOME_KEY", file, lambda: next(made)) == "first"
    assert env.secret("SOME_KEY", file, lambda: next(made)) == "first"
    assert file.stat().st_mode & 0o777 == 0o600
