"""The rows of the isolation matrix for what is managed of a tenant: keys, people, models, limits, addresses, plugins.

Names in braces are ids of acme's own rows, as the matrix makes them; method, path, body."""

from __future__ import annotations

from tests.product.running import Product

# Nothing here is some user's own: a tenant's role counts.
OWNED: dict[str, list[tuple[str, str, dict | None]]] = {}
# Whoever is known is told of themselves.
ANYBODYS: dict[str, tuple[str, dict | None]] = {"/api/me": ("GET", None)}
# For who manages the tenant.
MANAGED: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/tenant": [("GET", "/api/tenant", None)],
    "/api/chat-site/settings": [("GET", "/api/chat-site/settings", None)],
    "/api/addresses": [("GET", "/api/addresses", None)],
    "/api/addresses/{address_id}": [
        ("GET", "/api/addresses/{address}", None),
        ("PATCH", "/api/addresses/{address}", {"note": "mine now"}),
        ("DELETE", "/api/addresses/{address}", None),
    ],
    "/api/plugins": [("GET", "/api/plugins", None)],
    "/api/plugins/{plugin}": [
        ("GET", "/api/plugins/canned_answers", None),
        ("DELETE", "/api/plugins/canned_answers", None),
    ],
    "/api/allowances": [("GET", "/api/allowances", None)],
    "/api/allowances/{allowance_id}": [
        ("GET", "/api/allowances/{allowance}", None),
        ("PATCH", "/api/allowances/{allowance}", {"requests_per_minute": None}),
        ("DELETE", "/api/allowances/{allowance}", None),
    ],
    "/api/keys": [("GET", "/api/keys", None)],
    "/api/keys/{key_id}": [
        ("GET", "/api/keys/{key}", None),
        ("PATCH", "/api/keys/{key}", {"name": "mine now"}),
        ("DELETE", "/api/keys/{key}", None),
    ],
    "/api/keys/{key_id}/rotate": [("POST", "/api/keys/{key}/rotate", {})],
    "/api/members": [("GET", "/api/members", None)],
    "/api/members/{member_id}": [
        ("GET", "/api/members/{member}", None),
        ("PATCH", "/api/members/{member}", {"role": "admin"}),
        ("DELETE", "/api/members/{member}", None),
    ],
    "/api/invitations": [("GET", "/api/invitations", None)],
    "/api/invitations/{invitation_id}": [
        ("GET", "/api/invitations/{invitation}", None),
        ("DELETE", "/api/invitations/{invitation}", None),
    ],
    "/api/invitations/{invitation_id}/resend": [("POST", "/api/invitations/{invitation}/resend", {})],
    "/api/models": [("GET", "/api/models", None)],
    "/api/models/{instance_id}": [
        ("GET", "/api/models/{instance}", None),
        ("PUT", "/api/models/{instance}", {"name": "mine-now", "adapter": "echo"}),
        ("PATCH", "/api/models/{instance}", {"weight": 7}),
        ("DELETE", "/api/models/{instance}", None),
    ],
    "/api/models/{instance_id}/test": [("POST", "/api/models/{instance}/test", {})],
    "/api/adapters": [("GET", "/api/adapters", None)],
}
# For the platform's operators: every credential of a tenant is refused.
OPERATORS: dict[str, list[tuple[str, str, dict | None]]] = {
    "/api/tenants": [("GET", "/api/tenants", None), ("POST", "/api/tenants", {"slug": "mine", "name": "Mine"})],
    "/api/tenants/{tenant_id}": [
        ("GET", "/api/tenants/{tenant}", None),
        ("PATCH", "/api/tenants/{tenant}", {"share": 100}),
    ],
}
# They say nothing of anybody's names.
NAMELESS = {"/api/tenant", "/api/chat-site/settings", "/api/plugins", "/api/plugins/canned_answers", "/api/adapters"}
MADE = """
from datetime import timedelta
from plugins.models import PluginActivation
from tenants import allowances
from tenants.models import Allowance, Invitation
acme = Tenant.objects.get(slug='acme')
someone = User.objects.create_user('secret-person')
member = services.add_member(tenant=acme, user=someone, role='member')
key = services.create_api_key(tenant=acme, name='secret key')[0]
allowance = Allowance(tenant=acme, of='model', model='secret-model', requests_per_minute=1000)
plugin = PluginActivation(tenant=acme, plugin='canned_answers', enabled=False)
invitation = Invitation(
    tenant=acme, email='secret@example.com', digest='secret', expires_at=timezone.now() + timedelta(days=1)
)
for row in (allowance, plugin, invitation):
    row.save()
address = services.allow_network(tenant=acme, network='127.0.0.0/8', note='secret office')
instance = ModelInstance(tenant=acme, name='acme-only-secret', adapter='echo')
_ = save_instance(instance=instance)
rows = dict(
    address=address, allowance=allowance, key=key, member=member, invitation=invitation, instance=instance, tenant=acme
)
value = {name: str(row.pk) for name, row in rows.items()}
"""


def names(gateway: Product) -> dict[str, str]:
    """Ids of acme's own rows, all of them called `secret`."""
    made: dict[str, str] = gateway.operate(MADE)
    return made
