"""The mails of this package, in the reader's language where it is known."""

from __future__ import annotations

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import BadHeaderError, EmailMessage
from django.utils import formats, translation
from django.utils.translation import gettext as _

from tenants.models import Invitation, User

logger = logging.getLogger(__name__)


class NotSent(Exception):
    """The mail server did not take it."""


def invitation_link(secret: str) -> str:
    """From the setting, never from a request: whoever asks must not choose where the secret goes."""
    return f"{settings.PUBLIC_URL}/accounts/invitation/{secret}/"


def send_invitation(row: Invitation, secret: str) -> None:
    """Raises NotSent."""
    known = User.objects.filter(email__iexact=row.email).exclude(language="").values_list("language", flat=True).first()
    with translation.override(known or translation.get_language() or settings.LANGUAGE_CODE):
        by = row.invited_by.get_username() if row.invited_by is not None else ""
        names = {
            "tenant": row.tenant.name,
            "by": by,
            "role": row.get_role_display(),
            "link": invitation_link(secret),
            "until": formats.date_format(row.expires_at, "DATETIME_FORMAT"),
        }
        asked = _("%(by)s asks you to join %(tenant)s.") if by else _("You are asked to join %(tenant)s.")
        lines = [
            asked % names,
            _("Your role there: %(role)s.") % names,
            _("Follow this link to accept. It is good once, until %(until)s (UTC):") % names,
            names["link"],
            _("If you did not expect this, do nothing."),
        ]
        send(row.email, _("Invitation to %(tenant)s") % names, "\n\n".join(lines))


def send(to: str, subject: str, text: str) -> None:
    """Raises NotSent."""
    try:
        EmailMessage(subject, text, to=[to]).send()
    except (OSError, SMTPException, BadHeaderError, UnicodeError) as error:
        logger.warning("a mail could not be sent: %s", type(error).__name__)
        raise NotSent from error
