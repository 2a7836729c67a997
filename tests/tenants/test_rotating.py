"""The master key is replaced: everything sealed opens with the new one alone, and nothing else changed."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from routing.models import ModelInstance
from routing.services import api_key_of, save_instance
from tenants import rotating, stored_keys
from tenants.models import ConfigVersion, TenantKey
from tenants.secrets import SealBroken

OLD, NEW = "o" * 40, "n" * 40


@pytest.fixture
def sealed(cast, settings):
    """A provider key of acme and one of the platform, an instance without, and everybody's tenant keys."""
    settings.MASTER_KEY_FILE, settings.MASTER_KEY = None, OLD
    stored_keys.make_missing()
    for tenant in (cast.acme, None):
        save_instance(
            instance=ModelInstance(tenant=tenant, name="gpt", endpoint="https://x.example/v1"), api_key="sk-1"
        )
    return save_instance(instance=ModelInstance(name="echo", adapter="echo"))


def names() -> list[str]:
    return [stored_keys.stored(number).pseudonym("u") for number in (0, 1, 2)]


def test_it_seals_everything_with_the_first_key(sealed, settings, capsys):
    before, keys = names(), [row.sealed for row in TenantKey.objects.everywhere()]
    version = ConfigVersion.objects.get(section="routing").version
    settings.MASTER_KEY = f"{NEW},{OLD}"
    assert names() == before
    with pytest.raises(CommandError):
        call_command("rotatekeys", check=True)
    assert capsys.readouterr().out == "0 current, 5 still old\n"
    assert [row.sealed for row in TenantKey.objects.everywhere()] == keys
    call_command("rotatekeys")
    assert capsys.readouterr().out == "0 current, 5 sealed again\n"
    call_command("rotatekeys", check=True)
    assert capsys.readouterr().out == "5 current, 0 still old\n"
    assert ConfigVersion.objects.get(section="routing").version == version + 2, "workers hear of it"
    settings.MASTER_KEY = NEW
    assert names() == before
    found = ModelInstance.objects.everywhere().order_by("pk")
    assert [api_key_of(row) for row in found] == ["sk-1", "sk-1", ""]
    settings.MASTER_KEY = OLD
    with pytest.raises(SealBroken):
        api_key_of(found[0])
    assert stored_keys.stored(1) is None and stored_keys.compile_keys() == {}


def test_it_names_what_it_cannot_open_and_goes_on(sealed, settings, capsys):
    settings.MASTER_KEY = f"{NEW},{'x' * 40}"
    row = TenantKey.objects.for_tenant(1).get()
    TenantKey.objects.for_tenant(1).filter(pk=row.pk).update(sealed="v1.00000000.AAAA")
    settings.MASTER_KEY = f"{NEW},{OLD}"
    with pytest.raises(CommandError):
        call_command("rotatekeys")
    said = capsys.readouterr()
    assert (
        said.out == "0 current, 4 sealed again\n" and said.err.count("\n") == 1 and f"tenant key {row.pk}" in said.err
    )
    assert rotating.seal_again().current == 4


def test_a_running_process_learns_of_a_new_key_from_its_file(sealed, settings, tmp_path):
    settings.MASTER_KEY_FILE = tmp_path / "master_key"
    settings.MASTER_KEY_FILE.write_text(f"{OLD}\n")
    before = names()
    settings.MASTER_KEY_FILE.write_text(f"{NEW},{OLD}\n")
    rotating.seal_again()
    settings.MASTER_KEY_FILE.write_text(f"{NEW}\n")
    assert names() == before
    settings.MASTER_KEY_FILE.unlink()
    assert names() == before, "what it said last counts, not what it said at the start"


def test_every_tenant_gets_one_key_whoever_makes_it(cast):
    first = stored_keys.compile_keys()
    assert set(first) == {0, 1, 2}
    again = stored_keys.compile_keys()
    assert [again[number].pseudonym("u") for number in first] == [first[number].pseudonym("u") for number in first]
    assert len({first[number].pseudonym("u") for number in first}) == 3
    assert TenantKey.objects.everywhere().count() == 3


def test_a_new_tenant_has_a_key_at_once(db):
    from tenants.services import create_tenant  # noqa: PLC0415

    tenant = create_tenant(slug="new", name="New")
    assert stored_keys.stored(tenant.pk) is not None
    wrapped = stored_keys.stored(tenant.pk).wrap(b"k" * 32, "1:a")
    assert stored_keys.stored(tenant.pk).unwrap(wrapped, "1:a") == b"k" * 32
    with pytest.raises(SealBroken):
        stored_keys.stored(tenant.pk).unwrap(wrapped, "1:b")
    with pytest.raises(SealBroken):
        stored_keys.stored(tenant.pk).unwrap(b"", "1:a")
