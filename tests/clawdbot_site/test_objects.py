"""Object storage: a folder and a bucket behave alike."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile

import clawdbot_site.objects
from clawdbot_site.objects import FolderObjects, storage, walk
from clawdbot_site.s3 import S3Objects
from tests.services.objects import ObjectServer


@pytest.fixture(params=["folder", "bucket"])
def objects(request, tmp_path):
    if request.param == "folder":
        return FolderObjects(location=tmp_path)
    server: ObjectServer = request.getfixturevalue("object_server")
    return S3Objects(**server.options(tmp_path.name))


def test_they_keep_what_they_are_given(objects):
    assert objects.save("a/b/one.json", ContentFile(b"1")) == "a/b/one.json"
    second = objects.save("a/b/one.json", ContentFile(b"22"))
    assert second != "a/b/one.json", "nothing is written over"
    objects.settle(["a/b/one.json", second])
    assert objects.open("a/b/one.json").read() == b"1"
    assert (objects.open(second).read(), objects.size(second)) == (b"22", 2)
    assert sorted(walk(objects)) == sorted(walk(objects, "a")) == sorted(["a/b/one.json", second])
    assert objects.listdir("a") == (["b"], [])
    objects.delete("a/b/one.json")
    objects.delete("a/b/one.json")
    assert not objects.exists("a/b/one.json") and objects.exists(second)
    with pytest.raises(FileNotFoundError):
        objects.open("a/b/one.json")
    objects.delete(second)
    assert list(walk(objects)) == list(walk(objects, "nothing")) == []


def test_a_folder_is_on_the_disk_with_all_that_leads_to_it(tmp_path, monkeypatch):
    synced: list[str] = []
    monkeypatch.setattr(clawdbot_site.objects, "_sync", synced.append)
    folder = FolderObjects(location=tmp_path)
    folder.settle([folder.save("a/b/one.json", ContentFile(b"1"))])
    assert sorted(synced) == [str(tmp_path / name) for name in ("", "a", "a/b", "a/b/one.json")]
    synced.clear()
    folder.settle([])
    assert synced == []


def test_a_bucket_that_is_away_is_an_os_error(tmp_path):
    options = {"bucket_name": "x", "endpoint_url": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b"}
    away = S3Objects(**options)
    for call in (
        lambda: away.save("a", ContentFile(b"1")),
        lambda: away.open("a"),
        lambda: away.exists("a"),
        lambda: away.delete("a"),
        lambda: away.listdir(""),
        lambda: away.size("a"),
    ):
        with pytest.raises(OSError, match="127.0.0.1:9"):
            call()


def test_its_address_is_read(tmp_path):
    none = {"endpoint": "", "region": "", "access_key": "", "secret_key": ""}
    assert storage("", tmp_path, **none)["OPTIONS"]["location"] == tmp_path
    assert storage("s3://bucket/a/b/", tmp_path, **none)["OPTIONS"] == {"bucket_name": "bucket", "location": "a/b"}
    for url, options in (
        ("http://x", none),
        ("s3://", none),
        ("s3://b", {**none, "access_key": "a"}),
        ("s3://b", {**none, "endpoint": "x"}),
    ):
        with pytest.raises(ImproperlyConfigured):
            storage(url, tmp_path, **options)
