import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError

from clawdbot_site import checks
from clawdbot_site.asgi import create
from clawdbot_site.serving import listening
from tests.services.valkey import ValkeyServer


def ids(found) -> list[str]:
    return [problem.id for problem in found]


def test_it_finds_nothing_in_the_defaults():
    assert ids(run_checks(tags=["clawdbot"])) == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SECRET_KEY", "short", "clawdbot.E001"),
        ("SECRET_KEY", "django-insecure-" + "x" * 60, "clawdbot.E001"),
        ("MASTER_KEY", "changeme" * 8, "clawdbot.E002"),
    ],
)
def test_it_refuses_a_known_or_short_secret(settings, name, value, problem):
    setattr(settings, name, value)
    assert ids(checks.unsafe_settings()) == [problem]


def test_it_refuses_one_secret_for_both_purposes(settings):
    settings.SECRET_KEY = settings.MASTER_KEY = "9fX2-k" * 8
    assert ids(checks.unsafe_settings()) == ["clawdbot.E003"]


def test_it_allows_debug_on_loopback_only(settings):
    settings.DEBUG, settings.SECRET_KEY = True, "short"
    settings.HOST = "127.0.0.1"
    assert checks.unsafe_settings() == []
    settings.GRPC_HOST = "0.0.0.0"
    assert ids(checks.unsafe_settings()) == ["clawdbot.E004"]
    settings.HOST = "::"
    assert ids(checks.unsafe_settings()) == ["clawdbot.E004"] * 2


@pytest.mark.parametrize("address", ["0.0.0.0:8000", "[::]:8000", "10.1.2.3:80"])
def test_the_development_server_shows_internals_on_loopback_only(settings, address):
    settings.DEBUG = True
    with pytest.raises(CommandError, match="DEBUG shows internals"):
        call_command("runserver", address, "--noreload")


def test_no_other_server_gets_an_application_with_unsafe_settings(settings):
    settings.SECRET_KEY = "changeme-" + "x7Kq2" * 10
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is short or well known"):
        create()


def test_it_warns_of_a_proxy_that_is_not_named(settings):
    settings.HTTPS, settings.TRUSTED_PROXIES = True, []
    assert ids(checks.unnamed_proxy()) == ["clawdbot.W014"]
    settings.TRUSTED_PROXIES = ["10.0.0.1"]
    assert checks.unnamed_proxy() == []
    settings.HTTPS, settings.TRUSTED_PROXIES = False, []
    assert checks.unnamed_proxy() == []


def test_it_accepts_a_standalone_store(valkey_url):
    assert checks.store_problems({"CACHE_URL": valkey_url, "BROKER_URL": "amqp://rabbit"}) == []


def test_it_tells_of_a_database_that_the_server_does_not_have(valkey_url):
    assert ids(checks.store_problems({"CACHE_URL": f"{valkey_url}?db=5000"})) == ["clawdbot.W010"]


def test_it_refuses_a_cluster_in_one_line(tmp_path):
    port = listening.bind("127.0.0.1", 0)
    number = port.getsockname()[1]
    port.close()
    options = ["--port", str(number), "--cluster-enabled", "yes", "--cluster-port", "0", "--bind", "127.0.0.1"]
    server = ValkeyServer(tmp_path, options=options)
    server.start()
    try:
        (problem,) = checks.store_problems({"CHANNEL_URL": f"{server.url}?db=0"})
        # what the setting is by default; the server has no such database
        assert ids(checks.store_problems({"CACHE_URL": f"redis://127.0.0.1:{number}/3"})) == ["clawdbot.E010"]
        assert ids(checks.store_problems({"BROKER_URL": f"redis+socket://{server.socket}?virtual_host=1"})) == [
            "clawdbot.E010"
        ]
    finally:
        server.kill()
    assert problem.id == "clawdbot.E010"
    assert problem.is_serious()
    assert problem.msg.startswith("CHANNEL_URL: ")
    assert "\n" not in problem.msg


def test_it_warns_of_a_store_that_does_not_answer_and_hides_its_password():
    (problem,) = checks.store_problems({"CACHE_URL": "redis://:hush@127.0.0.1:1/3"})
    assert problem.id == "clawdbot.W010"
    assert not problem.is_serious()
    assert "hush" not in problem.msg
    assert "127.0.0.1:1/3" in problem.msg


def test_it_warns_where_a_tenant_has_no_database(cast, settings, tmp_path):
    server = ValkeyServer(tmp_path, options=["--databases", "17"])
    server.start()
    settings.VALKEY_NODES = [server.url]
    try:
        (problem,) = checks.databases_of_tenants()
    finally:
        server.kill()
    assert problem.id == "clawdbot.W011" and not problem.is_serious()
    assert "globex" in problem.msg and "acme" not in problem.msg
    assert checks.databases_of_tenants() == []
