"""The description of `/api/keys`, `/api/members` and `/api/invitations`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.invitations import InvitationAnswer, InvitationBody, InvitationPage
from access.management.keys import KeyAnswer, KeyBody, KeyMade, KeyPage, KeyPatch, RotateBody
from access.management.members import MemberAnswer, MemberPage, MemberPatch
from access.management.paging import SEARCH_QUERY
from access.operations import CHANGE_ERRORS, LIST_ERRORS, ONE_ERRORS, Operation

KEY_TEXT: Final = (
    "The key itself is in this answer and nowhere else. Nobody makes a key that may do more than they may: those of a "
    "developer have `chat` and `sessions`."
)
ROTATE_TEXT: Final = (
    "A new key of the same name, scopes and end. The old one ends after the grace, or when it would have ended if that "
    "is sooner. " + KEY_TEXT
)
INVITATION_TEXT: Final = "The link is in the mail alone, good once and for some days."

PEOPLE_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/keys": [
        Operation(method="get", summary="The tenant's API keys", answer=KeyPage, errors=LIST_ERRORS,
                  query=(*SEARCH_QUERY, ("state", "string", "`active expired revoked`."))),
        Operation(method="post", summary="Make an API key", body=KeyBody, answer=KeyMade, status=201, text=KEY_TEXT,
                  errors=CHANGE_ERRORS),
    ],
    "/api/keys/{key_id}": [
        Operation(method="get", summary="An API key", answer=KeyAnswer, errors=ONE_ERRORS),
        Operation(method="patch", summary="Change its name, scopes or end", body=KeyPatch, answer=KeyAnswer,
                  errors=(404, *CHANGE_ERRORS), text="Live within two seconds. A revoked one stays as it is."),
        Operation(method="delete", summary="Revoke a key", status=204, errors=ONE_ERRORS,
                  text="It is refused everywhere within two seconds and stays in the list."),
    ],
    "/api/keys/{key_id}/rotate": [
        Operation(method="post", summary="Put a new key in a key's place", body=RotateBody, answer=KeyMade, status=201,
                  text=ROTATE_TEXT, errors=(404, *CHANGE_ERRORS)),
    ],
    "/api/members": [
        Operation(method="get", summary="The tenant's members", answer=MemberPage, errors=LIST_ERRORS,
                  query=(*SEARCH_QUERY, ("role", "string", "`owner admin developer auditor member`."))),
    ],
    "/api/members/{member_id}": [
        Operation(method="get", summary="A member", answer=MemberAnswer, errors=ONE_ERRORS),
        Operation(method="patch", summary="Change a member's role, or switch them off", body=MemberPatch,
                  answer=MemberAnswer, errors=(404, *CHANGE_ERRORS),
                  text="Only owners make owners or change one; the last owner stays. Live within two seconds."),
        Operation(method="delete", summary="Remove a member", status=204, errors=(400, 409, *ONE_ERRORS),
                  text="The person stays, in their other tenants too."),
    ],
    "/api/invitations": [
        Operation(method="get", summary="Who was asked to join", answer=InvitationPage, errors=LIST_ERRORS,
                  query=(*SEARCH_QUERY, ("state", "string", "`open expired accepted withdrawn`."))),
        Operation(method="post", summary="Ask somebody by mail to join", body=InvitationBody, answer=InvitationAnswer,
                  status=201, text=INVITATION_TEXT, errors=CHANGE_ERRORS),
    ],
    "/api/invitations/{invitation_id}": [
        Operation(method="get", summary="An invitation", answer=InvitationAnswer, errors=ONE_ERRORS),
        Operation(method="delete", summary="Withdraw an invitation", status=204, errors=(400, 409, *ONE_ERRORS)),
    ],
    "/api/invitations/{invitation_id}/resend": [
        Operation(method="post", summary="Write the mail again", answer=InvitationAnswer, errors=(404, *CHANGE_ERRORS),
                  text="With another link: the one before it is not good any more."),
    ],
}  # fmt: skip
