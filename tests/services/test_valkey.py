from __future__ import annotations

from pathlib import Path

import redis
from django.conf import settings

from tests.conftest import VAR_DIR


def test_it_keeps_everything_of_the_tests_in_a_temporary_folder():
    assert settings.VAR_DIR == VAR_DIR.resolve()
    assert Path(settings.BASE_DIR) not in settings.VAR_DIR.parents


def test_it_listens_where_the_settings_say(valkey_url):
    assert settings.VALKEY_NODES == [valkey_url]
    with redis.Redis(unix_socket_path=str(settings.VALKEY_SOCKET), db=1023) as client:
        assert client.dbsize() == 0
        client.set("left", "over")
