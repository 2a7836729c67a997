"""What the first start makes and the person at the terminal must learn: `var/bootstrap.json` and the printed lines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from clawdbot_site.serving.listening import base_url
from tenants import keys
from tenants.models import ApiKey
from tenants.seeding import seed_platform


class Access(msgspec.Struct, frozen=True):
    """How to get in; the shape of `var/bootstrap.json`. `admin_password` is empty when only its digest is known,
    `grpc_target` where there is no gRPC server."""

    base_url: str
    tenant: str
    admin_user: str
    admin_password: str
    api_key: str
    grpc_target: str = ""


class Bootstrap(msgspec.Struct, frozen=True):
    access: Access
    new_administrator: bool


def path() -> Path:
    return Path(settings.VAR_DIR) / "bootstrap.json"


def read(file: Path) -> Access | None:
    """What an earlier start left; None when there is nothing usable."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Access)
    except (OSError, msgspec.DecodeError):
        return None


def write(file: Path, access: Access) -> None:
    """Whole or not at all, readable by its owner only."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(msgspec.to_builtins(access), indent=2) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def seed(grpc_target: str = "") -> Bootstrap:
    """Makes what is missing, reuses what is there. The file is written before the rows are committed: a start that is
    killed in between leaves a password nobody has, which the next start replaces, never a lost one."""
    file = path()
    known = read(file)
    with transaction.atomic():
        seeded = seed_platform(new_key=known is None or not _valid(known.api_key))
        access = Access(
            base_url=base_url(settings.HOST, settings.PORT),
            tenant=seeded.tenant,
            admin_user=seeded.admin_user,
            admin_password=seeded.admin_password or (known.admin_password if known else ""),
            api_key=seeded.api_key or (known.api_key if known else ""),
            grpc_target=grpc_target,
        )
        if access != known:
            write(file, access)
    return Bootstrap(access=access, new_administrator=seeded.admin_password is not None)


def _valid(key: str) -> bool:
    row = ApiKey.objects.everywhere().filter(digest=keys.digest(key), revoked_at=None).first()
    return row is not None and (row.expires_at is None or row.expires_at > timezone.now())


def announce(made: Bootstrap, say: Callable[[str], None]) -> None:
    access = made.access
    if made.new_administrator:
        password = f"{access.admin_password}   (shown this once; it is kept in {path()})"
    elif access.admin_password:
        password = f"as printed at the first start, see {path()}"
    else:
        password = f"unknown here; set one: manage.py changepassword {access.admin_user}"
    say("")
    say(f"  Chat API       {access.base_url}/api/chat   {access.base_url}/v1   ws{access.base_url[4:]}/ws/chat")
    if access.grpc_target:
        say(f"  gRPC           {access.grpc_target}   clawdbot.v1.ChatService")
    say(f"  Web chat       {access.base_url}/chat/")
    say(f"  Console        {access.base_url}/console/")
    say(f"  Administration {access.base_url}/admin/")
    say(f"  Administrator  {access.admin_user}")
    say(f"  Password       {password}")
    say(f"  API key        {access.api_key}   (tenant {access.tenant})")
    say("")
    say("Try it:")
    say(f"  {curl(access)}")
    say("")
    say("Ctrl-C stops everything.")


def curl(access: Access) -> str:
    """A line that works as printed in a shell."""
    body = """'{"message": "Hello! Who are you?"}'"""
    return (
        f"curl -s {access.base_url}/api/chat -H 'Authorization: Bearer {access.api_key}' "
        f"-H 'Content-Type: application/json' -d {body}"
    )
