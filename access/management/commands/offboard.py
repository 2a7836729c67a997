"""`offboard SLUG`: export, close, take back, delete a tenant. `offboard --verify FILE`: a deletion's certificate.

Exit 0; 1: it failed, or the certificate is none; 2: there is no such tenant, or what is asked for makes no sense."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from access.offboarding import closing, deleting, exporting
from compliance.journal.signing import platform_signer
from compliance.journal.store import StoreAway
from compliance.tree.hashing import Broken
from compliance.tree.notes import Unreadable, read_keys
from engine.errors import EngineError
from tenants.models import Tenant

FAILED, UNKNOWN = 1, 2


class Command(BaseCommand):
    help = "Exports, closes, takes back or deletes a tenant, or verifies a certificate of deletion."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug", nargs="?", metavar="SLUG")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--export", type=Path, metavar="FILE", help="write everything of it into a ZIP file")
        what.add_argument("--close", action="store_true", help="nobody is let in from now on; can be taken back")
        what.add_argument("--undo", action="store_true", help="take the closing back")
        what.add_argument("--delete", action="store_true", help="for good, once its days are over")
        what.add_argument("--verify", type=Path, metavar="FILE", help="a certificate")
        parser.add_argument("--early", action="store_true", help="with --delete: before its days are over")
        parser.add_argument(
            "--key", type=Path, metavar="PUB", help="with --verify: the public key; else this platform's"
        )

    def handle(self, *, slug: str | None, verify: Path | None, key: Path | None, **options: Any) -> None:
        if verify is not None:
            self._verify(verify, key)
            return
        tenant = Tenant.objects.filter(slug=slug or "").first()
        if tenant is None:
            raise CommandError(f"there is no tenant {slug or ''}", returncode=UNKNOWN)
        try:
            self._do(tenant, **options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=UNKNOWN) from None
        except (EngineError, StoreAway, DatabaseError, OSError) as error:
            raise CommandError(f"it is not done, ask again: {error}", returncode=FAILED) from None

    def _do(self, tenant: Tenant, *, export: Path | None, close: bool, undo: bool, early: bool, **_: Any) -> None:
        if export is not None:
            with export.open("xb") as file:
                export.chmod(0o600)
                exporting.write(tenant, file)
            self.stdout.write(f"everything of {tenant.slug} is in {export}")
        elif close:
            closed = closing.close(tenant=tenant, confirmed=tenant.slug, created_by="command offboard")
            self.stdout.write(f"{tenant.slug} is closed; it can be taken back until {closing.deletable_from(closed)}")
        elif undo:
            opened = closing.reopen(tenant=tenant)
            self.stdout.write(f"{tenant.slug} is {'open again' if opened.is_active else 'not closed, but suspended'}")
        else:
            name = deleting.delete(tenant=tenant, early=early)
            self.stdout.write(f"{tenant.slug} is deleted, certificate {name}")

    def _verify(self, file: Path, key: Path | None) -> None:
        try:
            keys = read_keys(key.read_text(encoding="utf-8")) if key is not None else platform_signer().keys
            about = deleting.verified(file.read_bytes(), keys)
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}", returncode=UNKNOWN) from None
        except Unreadable as error:
            raise CommandError(f"the key: {error}", returncode=UNKNOWN) from None
        except (Broken, ValueError) as error:
            raise CommandError(f"the certificate does not hold: {error}", returncode=FAILED) from None
        self.stdout.write(f"{about['tenant']} (tenant {about['tenant_id']}) was deleted; the certificate holds")
