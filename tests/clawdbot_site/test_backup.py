"""A backup is whole or it is none; nothing is restored from one that is not."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tarfile
import time

import pytest
import redis
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from clawdbot_site import tasks
from clawdbot_site.backup import emptying, making, restoring, sql, superseding
from clawdbot_site.backup.packing import Broken, checked, members, writing
from clawdbot_site.objects import walk
from tenants.isolation import Deployment
from tenants.models import Job, Tenant
from tests.compliance.journals import empty_journal, journal_alias, journal_file

__all__ = ["empty_journal", "journal_alias", "journal_file"]


@pytest.fixture
def site(transactional_db, cast, journal_alias, valkey_url, settings, tmp_path):
    backend = {"BACKEND": "clawdbot_site.objects.FolderObjects", "OPTIONS": {"location": tmp_path / "objects"}}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    settings.BACKUP_TO = str(tmp_path / "backups")
    return tmp_path / "backups"


def made(folder, content=b"some text" * 1000):
    path = folder / "backup.tar.gz"
    with writing(path) as pack:
        pack.add("a/one", content)
        pack.add("a/two", b"")
        pack.manifest.about["x"] = 1
    return path


def test_it_reads_back_what_it_wrote(tmp_path):
    path = made(tmp_path)
    manifest = checked(path)
    assert (manifest.about, [*manifest.members]) == ({"x": 1}, ["a/one", "a/two"])
    assert {name: file.read() for name, file in members(path)}["a/one"] == b"some text" * 1000
    assert (path.stat().st_mode & 0o777, [*tmp_path.iterdir()]) == (0o600, [path])


def test_nothing_is_left_of_one_that_failed(tmp_path):
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "backup.tar.gz") as pack:
        pack.add("a", b"1")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_one_that_was_altered_or_cut_is_refused(tmp_path):
    path = made(tmp_path)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 80):
        path.write_bytes(whole[:length])
        with pytest.raises(Broken):
            checked(path)
    plain = gzip.decompress(whole)
    path.write_bytes(gzip.compress(plain.replace(b"some text", b"some test", 1)))
    with pytest.raises(Broken, match="a/one among them"):
        checked(path)
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("a/one")
        tar.addfile(info, io.BytesIO())
    with pytest.raises(Broken, match="no manifest"):
        checked(path)


def test_the_command_says_what_is_not_inside(site, capsys):
    call_command("backup")
    said = capsys.readouterr().out
    assert "NOT inside" in said and len(list(site.iterdir())) == 1
    assert not [name for name in checked(next(site.iterdir())).members if name.startswith("keys/")]
    time.sleep(1.1)  # the next second: a name of its own
    call_command("backup", "--with-keys", "--keep", "1")
    assert "ARE INSIDE" in capsys.readouterr().out
    (left,) = site.iterdir()
    with pytest.raises(CommandError, match="a number of backups"):
        call_command("backup", "--keep", "-1")
    assert [*site.iterdir()] == [left]
    assert "keys/master_key" in checked(left).members
    assert 0 <= making.age(str(site)) < 60


def test_what_a_killed_backup_left_goes_a_day_later(site):
    (site / ".backup-old").mkdir(parents=True)
    (site / ".backup-old" / "db.sqlite3").write_bytes(b"copy")
    for name in (".clawdbot-1.tar.gz.1.partial", ".clawdbot-2.tar.gz.2.partial", "notes.txt"):
        (site / name).write_bytes(b"half")
    for name in (".backup-old", ".clawdbot-1.tar.gz.1.partial", "notes.txt"):
        os.utime(site / name, (1, 1))
    call_command("backup")
    left = sorted(path.name for path in site.iterdir())
    assert left[:1] + left[2:] == [".clawdbot-2.tar.gz.2.partial", "notes.txt"] and left[1].startswith("clawdbot-")


def test_the_daily_one_goes_to_object_storage_too(site, settings):
    settings.BACKUP_TO, settings.BACKUP_KEEP = making.STORAGE, 2
    default_storage.save("jobs/x.json", ContentFile(b"{}"))
    for number in range(3):
        default_storage.save(f"backups/clawdbot-2020010{number}T000000Z.tar.gz", ContentFile(b""))
    name = tasks.make_backup()
    assert sorted(default_storage.listdir("backups")[1]) == [
        "clawdbot-20200102T000000Z.tar.gz",
        name.removeprefix("backups/"),
    ]
    with restoring._local(f"storage:{name}") as path:
        parts = checked(path).members
    assert "objects/jobs/x.json" in parts and not [part for part in parts if "backups" in part]
    assert Job.objects.everywhere().get(kind="backup").state == Job.State.DONE
    settings.BACKUP_KEEP = 0
    assert tasks.make_backup() == ""


def test_a_store_that_is_away_is_told(site, settings):
    settings.VALKEY_NODES = ["redis://127.0.0.1:9"]
    with pytest.raises(CommandError, match="acme, globex"):
        call_command("backup")
    tasks.make_backup()
    assert "acme" in Job.objects.everywhere().get(kind="backup").error


def test_it_restores_nothing_over_data_or_with_another_key(site, settings, tmp_path):
    call_command("backup")
    file = str(next(site.iterdir()))
    settings.VAR_DIR = tmp_path / "var"
    with pytest.raises(CommandError, match="data here already"):
        call_command("restore", file)
    settings.MASTER_KEY = "another"
    with pytest.raises(CommandError, match="MASTER_KEY is not the one"):
        call_command("restore", file, "--force")
    for place in (file + "x", "storage:../../x"):
        with pytest.raises(CommandError, match="do it again"):
            call_command("restore", place, "--force")
    assert Tenant.objects.count() == 2


def test_objects_that_the_backup_does_not_have_do_not_stay_where_they_were(site):
    names = ["sessions/1/a.v1", "jobs/7.json", "checkpoints/1/5.json", "checkpoints/1/9.json", "erasures/1/2.json"]
    for name in [*names, "backups/clawdbot-20200101T000000Z.tar.gz"]:
        default_storage.save(name, ContentFile(name.encode()))
    said = []
    superseding.set_aside({"sessions/1/a.v1", "checkpoints/1/5.json"}, said.append)
    (moved,) = [name for name in walk(default_storage) if name.startswith("superseded/")]
    assert moved.endswith("Z/checkpoints/1/9.json")
    with default_storage.open(moved) as file:
        assert file.read() == b"checkpoints/1/9.json"
    assert sorted(set(walk(default_storage)) - {moved}) == [
        "backups/clawdbot-20200101T000000Z.tar.gz",
        "checkpoints/1/5.json",
        "erasures/1/2.json",
        "sessions/1/a.v1",
    ]
    assert said[0].startswith("erasures/1/2.json is of an erasure") and said[-1].startswith("1 objects")
    superseding.set_aside({"sessions/1/a.v1", "checkpoints/1/5.json"}, said.append)
    assert moved in walk(default_storage)


async def test_the_stores_keep_nothing_of_tenants_that_a_backup_does_not_know(site, settings, valkey_url):
    """Their numbers and databases are the next ones to be given out."""
    settings.REDIS_HOST, settings.VALKEY_NODES = valkey_url, [valkey_url]
    Tenant.objects.filter(slug="globex").update(store_url="redis://127.0.0.1:9")
    held = {"counters": 0, "theatre:1": 0, "t77:session": 0, "session": settings.FIRST_TENANT_DATABASE + 9}
    deployment = Deployment([valkey_url])
    assert await asyncio.to_thread(emptying.holds_any) is False
    for name, number in held.items():
        await deployment.database(number).call("SET", name, "1")
    assert await asyncio.to_thread(emptying.holds_any) is True
    emptied = await asyncio.to_thread(emptying.empty_all)
    assert (emptied.keys, emptied.away) == (2, ["globex"])
    assert await asyncio.to_thread(emptying.holds_any) is False
    left = [name for name, number in held.items() if await deployment.database(number).call("EXISTS", name)]
    assert left == ["counters", "theatre:1"]
    await deployment.close()


def test_a_store_that_holds_anything_is_data_too(site, settings, valkey_url, tmp_path, monkeypatch):
    call_command("backup")
    file = str(next(site.iterdir()))
    settings.VAR_DIR = tmp_path / "var"
    settings.REDIS_HOST, settings.VALKEY_NODES = valkey_url, [valkey_url]
    monkeypatch.setattr(restoring, "_empty", lambda: True)
    with redis.Redis.from_url(valkey_url) as client:
        client.set("t77:session", "1")
    with pytest.raises(CommandError, match="data here already"):
        call_command("restore", file)
    settings.VALKEY_NODES = ["redis://127.0.0.1:9"]
    with pytest.raises(CommandError, match="not restored"):
        call_command("restore", file, "--force")
    assert Tenant.objects.count() == 2


def test_a_backup_of_another_kind_of_database_is_refused():
    about = {"sql": {alias: {"vendor": "postgresql", "migrations": []} for alias in sql.ALIASES}}
    with pytest.raises(Broken, match="postgresql, here it is sqlite"):
        sql.check(about)
    about = {"sql": {alias: {"vendor": "sqlite", "migrations": ["tenants.9999_future"]} for alias in sql.ALIASES}}
    with pytest.raises(Broken, match=r"newer version: tenants\.9999_future"):
        sql.check(about)
