import base64
import json
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Unauthenticated
from tenants.tokens import TokenVerifier
from tenants.visitor_tickets import ALGORITHM, AUDIENCE, PREFIX, RENEWABLE, VisitorTickets

KEY = "k" * 64
OPTIONS = {"ALGORITHM": "HS256", "SIGNING_KEY": KEY, "ISSUER": "clawdbot", "AUDIENCE": "clawdbot-api"}
TICKETS = VisitorTickets(OPTIONS)


def issued(tickets=TICKETS, **changes):
    return tickets.issue(**{"tenant": "acme", "visitor": "anon-1", "life": 60, **changes})


def refused(ticket, tickets=TICKETS):
    with pytest.raises(Unauthenticated):
        tickets.verify(ticket)
    assert tickets.previous(ticket) is None


TICKETS_KEY = TICKETS._current()[0]


def forged(key=TICKETS_KEY, header=None, **changes):
    now = int(time.time())
    claims = {"iss": "clawdbot", "aud": AUDIENCE, "token_type": "visitor", "iat": now, "exp": now + 60,
              "tenant": "acme", "visitor": "anon-1"}  # fmt: skip
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return PREFIX + jwt.encode(claims, key, algorithm=ALGORITHM, headers=header)


def test_it_knows_its_own_tickets():
    visitor = TICKETS.verify(issued(visitor="ann", signed=True, name="Ann Ø"))
    assert (visitor.tenant, visitor.visitor, visitor.signed, visitor.name) == ("acme", "ann", True, "Ann Ø")
    assert TICKETS.verify(forged()).signed is False


@pytest.mark.parametrize(
    "changes",
    [
        *({name: None} for name in ("iss", "aud", "exp", "iat", "token_type", "tenant", "visitor")),
        {"iss": "other"}, {"aud": "clawdbot-api"}, {"token_type": "access"}, {"token_type": "refresh"}, {"visitor": 1},
        {"tenant": ["acme"]}, {"signed": "yes"}, {"nbf": 4_000_000_000},
    ],
    ids=str,
)  # fmt: skip
def test_it_refuses_wrong_claims_though_the_signature_is_right(changes):
    refused(forged(**changes))


def test_it_takes_no_members_token_and_no_member_passes_with_a_ticket():
    now = int(time.time())
    claims = {"iss": "clawdbot", "aud": "clawdbot-api", "iat": now, "exp": now + 60, "jti": "1", "token_type": "access",
              "member": 1, "tenant": "acme"}  # fmt: skip
    token, ticket = jwt.encode(claims, KEY), issued()
    members = TokenVerifier(OPTIONS)
    assert members.verify(token).member == 1
    refused(token)
    refused(PREFIX + token)
    refused(forged(KEY))
    for text in (ticket, ticket.removeprefix(PREFIX)):
        with pytest.raises(Unauthenticated):
            members.verify(text)
    refused(ticket.removeprefix(PREFIX))


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", "HS512", "RS256"])
def test_it_lets_no_header_choose_how_it_is_checked(algorithm):
    def segment(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    _, claims, signature = issued().removeprefix(PREFIX).split(".")
    head = segment({"alg": algorithm, "typ": "JWT"})
    for text in (f"{head}.{claims}.", f"{head}.{claims}.{signature}", f"{head}.{claims}"):
        refused(PREFIX + text)
    refused(forged(header={"x": "y" * 400}))


def test_another_platforms_ticket_is_none():
    refused(issued(VisitorTickets({**OPTIONS, "SIGNING_KEY": "other" * 10})))
    refused(issued(VisitorTickets({**OPTIONS, "ISSUER": "other"})))


@given(st.text(max_size=60), st.sampled_from(["", PREFIX, "cv_a.", PREFIX + "e30.e30."]))
def test_it_refuses_anything_else(text, before):
    refused(before + text)


def test_it_ends_and_still_says_who_came():
    now = [1_000_000.0]
    tickets = VisitorTickets(OPTIONS, clock=lambda: now[0])
    ticket = issued(tickets, life=60)
    assert tickets.verify(ticket).exp == 1_000_060
    now[0] += 60
    for _ in range(2):
        with pytest.raises(Unauthenticated, match="expired"):
            tickets.verify(ticket)
    assert tickets.previous(ticket).visitor == "anon-1"
    now[0] += RENEWABLE - 1
    assert tickets.previous(ticket) is not None
    now[0] += 1
    assert tickets.previous(ticket) is None
