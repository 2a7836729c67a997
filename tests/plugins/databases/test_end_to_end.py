"""A question over HTTP: a scripted model writes SQL, a real PostgreSQL answers it, the model tells the client."""

import pytest

from tests.access.parts import build
from tests.engine.parts import ScriptedModel
from tests.plugins.databases.test_plugin import opened
from tests.plugins.turns import chain

SQL = (
    "```sql\nSELECT c.name, SUM(o.total) AS total FROM customers c JOIN orders o ON o.customer_id = c.id "
    "GROUP BY c.name ORDER BY total DESC\n```"
)
ROWS = [["Ben", 100], ["Ann", 29.75], ["李雷", 5]]
ASKED = {"message": "Who bought the most?", "metadata": {"database": "shop"}}


class Turns(ScriptedModel):
    """Answers each call with the next of the texts."""

    def __init__(self, *texts):
        super().__init__()
        self.texts = list(texts)

    async def stream(self, call):
        self.pieces = [self.texts[len(self.calls)]]
        async for event in super().stream(call):
            yield event


@pytest.fixture
async def site(postgres_source):
    async with opened(postgres_source, when="asked") as plugin:
        yield lambda *texts: build(Turns(*texts), plugins=chain(plugin))


async def test_it_answers_a_question_from_the_database(site):
    gateway = site(SQL, "Ben bought the most, for 100.")
    answer = await gateway.alice.post("/api/chat", ASKED)
    assert answer.status == 200
    assert answer.json["message"]["content"] == "Ben bought the most, for 100."
    told = answer.json["metadata"]["database"]
    assert (told["source"], told["columns"], told["rows"]) == ("shop", ["name", "total"], ROWS)
    assert told["sql"].startswith("SELECT")
    turn, again = gateway.behind.journal.intents
    assert (turn.turn_id, again.parent_turn) == (answer.json["id"], answer.json["id"])
    assert '"name":"Ben"' in again.messages[-1].content
    ends = {end.turn_id: end for end in gateway.behind.journal.completions}
    assert ends[turn.turn_id].plugins["database"]["rows"] == ROWS
    assert {end.state for end in ends.values()} == {"completed"}


async def test_it_gives_a_streaming_client_the_last_answer_alone(site):
    gateway = site(SQL, "Ben.")
    answer = await gateway.alice.post("/api/chat", {**ASKED, "stream": True})
    text = answer.body.decode()
    assert "Ben." in text
    assert "SELECT c.name" not in text
    assert '"rows":[["Ben",100]' in text


async def test_it_journals_every_attempt_to_mend_a_query(site):
    gateway = site(
        "```sql\nSELECT password FROM customers\n```", "```sql\nSELECT nothing FROM orders\n```", SQL, "Ben."
    )
    answer = await gateway.alice.post("/api/chat", ASKED)
    assert answer.json["message"]["content"] == "Ben."
    assert answer.json["metadata"]["database"]["attempts"] == 3
    assert len(gateway.behind.journal.intents) == 4


async def test_it_refuses_honestly(site):
    gateway = site(*["```sql\nDELETE FROM customers\n```"] * 3)
    answer = await gateway.alice.post("/api/chat", ASKED)
    assert answer.status == 200
    assert "cannot be answered from the database" in answer.json["message"]["content"]
    assert answer.json["metadata"]["database"]["refused"]["code"] == "statement"


async def test_it_costs_other_turns_nothing(site):
    gateway = site("Hello.")
    answer = await gateway.alice.post("/api/chat", {"message": "Hello"})
    assert answer.json["message"]["content"] == "Hello."
    assert "metadata" not in answer.json
    [call] = gateway.behind.models[0].calls
    assert len(call.messages) == 1
