"""The plugin between a scripted model and a real SQLite file."""

from contextlib import asynccontextmanager

import msgspec
import pytest

from engine.types import ChatRequest, Message, RoundAnswer
from plugins.base import TurnContext, TurnResponse
from plugins.builtin.database import DatabasePlugin, DatabaseSettings
from plugins.databases.catalogue import Column, Table
from tests.cast import ALICE
from tests.conformance.plugins import PluginSuite
from tests.plugins.databases.sources import source
from tests.plugins.turns import chain, said

SQL = "```sql\nSELECT name FROM customers WHERE city = 'Rome'\n```"


@pytest.fixture
def asked(sqlite_source):
    return lambda *answers, **fields: turn(sqlite_source, *answers, **fields)


@asynccontextmanager
async def opened(*sources, **settings):
    plugin = DatabasePlugin(msgspec.convert({"when": "always", **settings}, DatabaseSettings))
    plugin.gathered = sources
    plugin.open()
    try:
        yield plugin
    finally:
        await plugin.close()


class Told:
    """What became of a turn: the answer, the metadata, what the model was asked in which round."""

    def __init__(self, run, answer, rounds):
        self.acted = run.needs_full_response
        self.messages = run.messages
        self.metadata = run.metadata.get("database", {})
        self.answer = answer
        self.rounds = rounds
        self.skipped = run.skipped


async def turn(where, *answers, text="Who lives in Rome?", person=ALICE.principal, settings=None, more=(), **request):
    """The model says these answers, one a round."""
    script, rounds = list(answers), []

    async def ask(again):
        rounds.append(again)
        return RoundAnswer(said(script.pop(0)), again.added, "round")

    messages = [Message(role="user", content=text)]
    async with opened(where, *more, **(settings or {})) as plugin:
        plugins = chain(plugin)
        run = plugins.run(person, ChatRequest(messages=messages, **request), None, messages, "turn")
        await run.pre()
        choices = await run.post(said(script.pop(0)), ask)
        return Told(run, choices[0].message.content, rounds)


async def test_it_answers_from_the_rows_of_a_query(asked):
    told = await asked(SQL, "Ben lives in Rome.")
    assert told.answer == "Ben lives in Rome."
    assert told.metadata["rows"] == [["Ben"]]
    assert (told.metadata["source"], told.metadata["columns"], told.metadata["truncated"]) == ("shop", ["name"], False)
    assert told.metadata["sql"].startswith("SELECT")
    assert told.metadata["ms"] >= 0
    [again] = told.rounds
    assert again.said[0].content == SQL
    assert '[{"name":"Ben"}]' in again.added[0].content
    assert told.skipped == []


async def test_it_tells_the_model_what_there_is_for_this_turn_alone(asked):
    told = await asked("Hello.")
    assert [message.role for message in told.messages] == ["system", "user"]
    assert "customers" in told.messages[0].content
    assert "password" not in told.messages[0].content
    assert told.messages[0].passing


async def test_it_leaves_an_answer_that_needs_no_data_as_it_is(asked):
    told = await asked("Rome is in Italy.")
    assert (told.answer, told.metadata, told.rounds) == ("Rome is in Italy.", {}, [])


async def test_it_lets_the_model_answer_itself_when_it_declines(asked):
    told = await asked("NO QUERY", "```sql\nSELECT 1 AS a\n``` is how you would do it.")
    assert told.answer.endswith("is how you would do it.")
    assert len(told.rounds) == 1


async def test_it_lets_the_model_mend_its_query_twice(asked):
    told = await asked(
        "```sql\nSELECT nam FROM customers\n```", "```sql\nSELECT password FROM customers\n```", SQL, "Ben."
    )
    assert told.answer == "Ben."
    assert told.metadata["attempts"] == 3
    assert "nam" in told.rounds[0].added[0].content
    assert "password" in told.rounds[1].added[0].content
    assert [len(again.said) for again in told.rounds] == [1, 3, 5]


@pytest.mark.parametrize("repairs", [0, 1, 2])
async def test_it_says_honestly_that_no_query_was_possible(asked, repairs):
    bad = "```sql\nDELETE FROM customers\n```"
    told = await asked(*[bad] * (repairs + 1), settings={"repairs": repairs})
    assert "cannot be answered from the database" in told.answer
    assert told.metadata["refused"]["code"] == "statement"
    assert len(told.rounds) == repairs
    assert "rows" not in told.metadata


async def test_it_speaks_the_callers_language(asked):
    told = await asked("```sql\nDELETE FROM customers\n```", text="罗马有谁？", settings={"repairs": 0})
    assert "单条 SELECT" in told.messages[0].content
    other = await asked("```sql\nDELETE FROM customers\n```", language="zh-CN", settings={"repairs": 0})
    assert "Use" not in other.answer
    assert other.messages[0].content.startswith("You can")


async def test_it_never_takes_rows_for_another_query(asked):
    """What is written in the data may talk the model into SQL again: that is an answer, and nothing runs."""
    told = await asked(SQL, "```sql\nSELECT note FROM orders\n```")
    assert told.metadata["rows"] == [["Ben"]]
    assert len(told.rounds) == 1


async def test_it_has_an_answer_where_the_last_round_fails(sqlite_source):
    async with opened(sqlite_source) as plugin:
        messages = [Message(role="user", content="Who lives in Rome?")]
        run = chain(plugin).run(ALICE.principal, ChatRequest(messages=messages), None, messages, "turn")
        await run.pre()
        [choice] = await run.post(said(SQL), None)  # no model to ask again
    assert "name: Ben" in choice.message.content
    assert run.metadata["database"]["rows"] == [["Ben"]]


async def test_it_says_that_a_database_is_away(sqlite_source, asked):
    told = await turn(source("postgresql", "postgresql://a:secret@127.0.0.1:1/x"), SQL)
    assert "cannot be reached" in told.answer
    assert told.metadata["refused"]["code"] == "database_unreachable"
    assert told.rounds == []
    assert "secret" not in str(told.metadata)


async def test_it_asks_the_database_the_model_names(sqlite_source):
    other = msgspec.structs.replace(
        sqlite_source, id=2, name="staff", tables=(Table(name="salaries", columns=(Column(name="amount"),)),)
    )
    pay = "```sql\n-- database: staff\nSELECT amount FROM salaries\n```"
    told = await turn(sqlite_source, pay, "90,000.", more=[other])
    assert (told.metadata["source"], told.metadata["rows"]) == ("staff", [[90000]])
    told = await turn(sqlite_source, pay, "no", settings={"sources": ["shop"], "repairs": 0}, more=[other])
    assert told.metadata["refused"]["code"] == "table", "a database that is not meant is not asked"


@pytest.mark.parametrize(
    ("chosen", "request_fields", "acts"),
    [
        ({"when": "asked"}, {}, False),
        ({"when": "asked"}, {"metadata": {"database": "shop"}}, True),
        ({"when": "asked"}, {"metadata": {"database": True}}, True),
        ({"when": "asked"}, {"metadata": {"database": "staff"}}, False),
        ({"when": "asked"}, {"metadata": {"database": {"a": []}}}, False),
        ({"when": "prefix"}, {"text": "/data who?"}, True),
        ({"when": "prefix"}, {"text": "who? /data"}, False),
        ({"when": "prefix", "prefix": ""}, {"text": "who?"}, False),
        ({"when": "intent", "intents": ["orders"]}, {}, False),
        ({"when": "always"}, {}, True),
        ({"when": "always"}, {"params": {"response_format": {"type": "json_object"}}}, False),
        ({"when": "always", "sources": ["staff"]}, {}, False),
        ({"when": "always"}, {"text": ""}, False),
    ],
)
async def test_it_acts_when_it_is_meant_to(asked, chosen, request_fields, acts):
    told = await asked("Hello.", settings=chosen, **request_fields)
    assert told.acted is acts
    assert len(told.messages) == 1 + acts


async def test_it_acts_on_an_intent_that_another_plugin_found(sqlite_source):
    async with opened(sqlite_source, when="intent", intents=["orders"]) as plugin:
        plugins = chain(plugin)
        for intent, acts in [("orders", True), ("weather", False)]:
            messages = [Message(role="user", content="How many?")]
            run = plugins.run(ALICE.principal, ChatRequest(messages=messages), None, messages, "turn")
            run.features = {"intent": intent}
            await run.pre()
            assert run.needs_full_response is acts


async def test_it_leaves_visitors_alone_unless_they_are_meant(asked):
    visitor = msgspec.structs.replace(ALICE.principal, kind="visitor")
    assert not (await asked("Hello.", person=visitor)).acted
    assert (await asked("Hello.", person=visitor, settings={"visitors": True})).acted


async def test_a_dry_run_checks_a_query_and_asks_no_database(sqlite_source, monkeypatch):
    monkeypatch.setattr("plugins.databases.answering.run", lambda *_: pytest.fail("the database was asked"))
    query = "```sql\nSELECT name FROM customers\n```"
    async with opened(sqlite_source) as plugin:
        request = ChatRequest(messages=[Message(role="user", content="Who lives in Rome?")])
        principal, messages = ALICE.principal, request.messages
        context = TurnContext(
            principal=principal, request=request, session=None, messages=messages, features={}, turn_id="", dry_run=True
        )
        await plugin.pre_process(context)
        response = TurnResponse(said(query), context)
        await plugin.post_process(response)
        assert response.text == query and response.asked is None
        assert response.metadata["sql"].startswith("SELECT") and "rows" not in response.metadata
        refused = TurnResponse(said("```sql\nDROP TABLE customers\n```"), context)
        await plugin.post_process(refused)
        assert refused.metadata["refused"]["code"]


class TestDatabase(PluginSuite):
    """Without a database: what it owes every turn."""

    plugin = DatabasePlugin
    settings = ({"when": "always"}, {"when": "intent", "intents": ["orders"], "sources": ["shop"], "repairs": 0})

    def make(self, settings):
        plugin = super().make(settings)
        plugin.gathered = (source("sqlite", "sqlite:///none.sqlite3"),)
        return plugin
