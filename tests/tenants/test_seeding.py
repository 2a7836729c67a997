from tenants import keys
from tenants.models import ApiKey, Member, Tenant, User
from tenants.seeding import seed_platform


def test_it_makes_an_administrator_a_demo_tenant_and_a_key(db):
    seeded = seed_platform()
    admin = User.objects.get(username=seeded.admin_user)
    assert admin.is_superuser
    assert admin.is_staff
    assert admin.check_password(seeded.admin_password)
    tenant = Tenant.objects.get(slug="demo")
    assert (tenant.requests_per_minute, tenant.tokens_per_minute, tenant.concurrent_turns) == (None, None, None)
    assert Member.objects.for_tenant(tenant.pk).get().role == "owner"
    assert ApiKey.objects.for_tenant(tenant.pk).get().digest == keys.digest(seeded.api_key)


def test_it_changes_nothing_the_second_time_and_tells_no_secret(db):
    first = seed_platform()
    Tenant.objects.filter(slug="demo").update(name="Renamed")
    second = seed_platform()
    assert (second.admin_password, second.api_key) == (None, None)
    assert (second.tenant, second.admin_user) == (first.tenant, first.admin_user)
    assert (User.objects.count(), Tenant.objects.get().name) == (1, "Renamed")
    assert ApiKey.objects.everywhere().count() == Member.objects.everywhere().count() == 1


def test_it_makes_another_key_on_request(db):
    first, second = seed_platform(), seed_platform(new_key=True)
    assert second.api_key not in (None, first.api_key)
    assert second.admin_password is None
