"""Responses that were given before: found by their ids, in the journal and in the sessions they are part of.

A response is a turn, and `resp_` with the turn's id its own. It is its caller's as long as the session has it: a
deleted session takes its responses along. For everybody else it does not exist."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from access.edges import responses_answers as answers
from access.edges import responses_items as items
from access.edges.responses_answers import Frame
from access.edges.responses_requests import EDGE, refers
from access.parts import Parts
from compliance.journal.reader import TurnRecord
from engine.errors import InvalidRequest, NotFound, PreviousResponseNotFound, SessionNotFound, VersionNotFound
from engine.types import Json, Message, Principal, Usage

MOST_REFERRED: Final = 100  # responses of one request: each is read from the journal
RESPONSE: Final = re.compile(r"resp_([0-9a-f]{32})\Z")


class KeptResponses:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def previous(self, principal: Principal, response_id: str) -> TurnRecord:
        """The response that a new one goes on from; whether its session has it is for who opens that to say. Raises
        PreviousResponseNotFound."""
        try:
            return await self._record(principal, response_id)
        except NotFound:
            raise no_previous(response_id) from None

    async def past(self, principal: Principal, response_id: str) -> list[Message]:
        """The conversation up to and with that response. Raises PreviousResponseNotFound."""
        record = await self.previous(principal, response_id)
        try:
            return await self._conversation(principal, record)
        except NotFound:
            raise no_previous(response_id) from None

    async def read(self, principal: Principal, response_id: str) -> Json:
        """Raises NotFound."""
        record = await self._kept(principal, response_id)
        return told(record)

    async def input_of(self, principal: Principal, response_id: str) -> list[Json]:
        """All that the response is an answer to, the oldest first. Raises NotFound."""
        record = await self._kept(principal, response_id)
        asked = [message for message in record.intent.messages if not message.passing]
        before: list[Message] = []
        if is_answered(record) and record.intent.parent:
            try:
                then = await self._parts.versions.read(principal, _session(record), record.intent.parent)
            except (SessionNotFound, VersionNotFound):
                raise not_found(response_id) from None
            before = said(then)
        return items.input_items([*before, *asked], record.turn_id)

    async def delete(self, principal: Principal, response_id: str) -> None:
        """Nothing goes on from it any more, and it is found no more. Raises NotFound."""
        record = await self._kept(principal, response_id)
        if not is_answered(record):
            raise not_found(response_id)
        try:
            await self._parts.versions.withdraw(principal, _session(record), record.turn_id)
        except (SessionNotFound, VersionNotFound):
            raise not_found(response_id) from None

    async def cancel(self, principal: Principal, response_id: str) -> Json:
        """Stops it if it is still running, at whichever worker. Raises NotFound, InvalidRequest: it is over."""
        record = await self._record(principal, response_id)
        if record.completion is not None:
            raise InvalidRequest("The response is over already: there is nothing to cancel.", param="response_id")
        await self._parts.canceller.cancel(principal, record.turn_id)
        return {**told(record), "status": "cancelled"}

    async def referred(self, principal: Principal, given: Sequence[Json]) -> list[Json]:
        """The items with those in place that are only referred to. Raises InvalidRequest."""
        found: dict[str, list[Json]] = {}
        result: list[Json] = []
        for index, item in enumerate(given):
            if not refers(item):
                result.append(item)
                continue
            item_id, at = item.get("id"), f"input[{index}].id"
            match = items.OWN.match(item_id) if isinstance(item_id, str) else None
            if match is None:
                raise InvalidRequest(f"{at}: there is no such item.", param=at)
            if match[2] not in found:
                if len(found) == MOST_REFERRED:
                    raise InvalidRequest(f"{at}: more than {MOST_REFERRED} responses are referred to.", param=at)
                found[match[2]] = await self._output(principal, match[2], at)
            same = [one for one in found[match[2]] if one["id"] == item_id]
            further = match[1] != "fc" and match[3] is not None  # a stream cut it in several; the first has all of it
            if not same and not further:
                raise InvalidRequest(f"{at}: there is no such item.", param=at)
            result.extend(same)
        return result

    async def _output(self, principal: Principal, turn_id: str, at: str) -> list[Json]:
        try:
            return list((await self.read(principal, answers.response_id(turn_id)))["output"])
        except NotFound:
            raise InvalidRequest(f"{at}: there is no such item.", param=at) from None

    async def _kept(self, principal: Principal, response_id: str) -> TurnRecord:
        """Raises NotFound also where its session does not have it any more."""
        record = await self._record(principal, response_id)
        if is_answered(record):
            await self._at(principal, record, response_id)
        return record

    async def _at(self, principal: Principal, record: TurnRecord, response_id: str) -> list[Message]:
        try:
            return await self._conversation(principal, record)
        except (SessionNotFound, VersionNotFound):
            raise not_found(response_id) from None

    async def _conversation(self, principal: Principal, record: TurnRecord) -> list[Message]:
        session = await self._parts.versions.after_turn(principal, _session(record), record.turn_id)
        return said(session)

    async def _record(self, principal: Principal, response_id: str) -> TurnRecord:
        match = RESPONSE.match(response_id)
        if match is None:
            raise not_found(response_id)
        try:
            record = await self._parts.read_turn(principal.tenant_id, match[1])
        except NotFound:
            raise not_found(response_id) from None
        intent = record.intent
        theirs = intent.subject == principal.subject and (principal.nameless or intent.user == principal.user)
        if not theirs or intent.edge != EDGE or intent.session_id is None or record.erased or record.unreadable:
            raise not_found(response_id)
        return record


def said(session: Json) -> list[Message]:
    """Of a session as it is read."""
    return msgspec.convert(session["context_stack"], list[Message])


def is_answered(record: TurnRecord) -> bool:
    """Only then it is part of its session."""
    return record.completion is not None and record.completion.state == "completed"


def told(record: TurnRecord) -> Json:
    """A response as it is on record: whole, in progress, cancelled or failed."""
    frame, completion = Frame.recorded(record.intent), record.completion
    if completion is None:
        return answers.begun(record.turn_id, record.intent.model, frame)
    if completion.state == "completed":
        return answers.whole(record.turn_id, frame, completion, completion.at)
    response = answers.begun(record.turn_id, completion.model, frame)
    output = answers.output_of(record.turn_id, frame, record.sent[0]) if record.sent else []
    if completion.usage != Usage():
        response["usage"] = answers.usage(completion.usage)
    if completion.state == "cancelled":
        return {**response, "status": "cancelled", "output": output}
    return answers.failed(response, completion.error, f"The response failed: {completion.error}.", output)


def not_found(response_id: str) -> NotFound:
    return NotFound(f"Response with id '{response_id[:100]}' not found.", param="response_id")


def no_previous(response_id: str) -> PreviousResponseNotFound:
    return PreviousResponseNotFound(
        f"Previous response with id '{response_id[:100]}' not found.", param="previous_response_id"
    )


def _session(record: TurnRecord) -> str:
    session_id = record.intent.session_id
    assert session_id is not None, "only kept responses are looked at"
    return session_id
