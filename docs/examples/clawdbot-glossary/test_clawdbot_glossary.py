from clawdbot_glossary import GlossaryPlugin, GlossarySettings

from engine.types import ChatRequest, Choice, Message, Principal
from plugins.rehearsal import PastTurn, Rehearsal
from tests.conformance.plugins import PluginSuite

PRINCIPAL = Principal(tenant_id=1, tenant="demo", kind="member", subject="member:1", user="1")
PLUGIN = GlossaryPlugin(GlossarySettings(terms={"PTO": "paid time off"}, footer="See the handbook."))


def tried(question):
    request = ChatRequest(messages=[Message(role="user", content=question)])
    answer = Choice(message=Message(role="assistant", content="Ten days."), finish_reason="stop")
    with Rehearsal(PLUGIN) as rehearsal:
        return rehearsal.turn(PastTurn(principal=PRINCIPAL, request=request, choices=[answer], turn_id="1"))


def test_it_explains_what_a_question_mentions():
    told = tried("How much PTO is left?")
    assert told.pre.messages[0].content == "PTO: paid time off"
    assert told.pre.features == {"jargon": True}
    assert told.metadata == {"terms": ["PTO"]}
    assert told.post.choices[0].message.content == "Ten days.\n\nSee the handbook."


def test_it_leaves_other_turns_alone():
    told = tried("How many days are left?")
    assert (told.changes, told.pre.left, told.post.outcome) == (False, True, "not_reached")


class TestConformance(PluginSuite):
    """What every plugin owes the turns it takes part in: odd messages, odd answers, turns at the same time."""

    plugin = GlossaryPlugin
    settings = ({"terms": {"PTO": "paid time off"}}, {"terms": {}, "footer": "See the handbook."})
