import pytest

from plugins import registry
from plugins.builtin.canned_answers import CannedAnswers
from tests.conformance.plugins import PluginSuite
from tests.plugins.turns import chain, pre

SETTINGS = {"answers": [{"questions": ["When are you open?", "几点开门？", "C++?", " "], "answer": "At nine."}]}


class TestCannedAnswers(PluginSuite):
    plugin = CannedAnswers
    settings = ({}, SETTINGS, {"answers": [{"questions": ["Hi"], "answer": "Hello"}]})


def plugins():
    return chain(CannedAnswers(registry.read_settings(CannedAnswers, SETTINGS)))


@pytest.mark.parametrize(
    "question", ["When are you open?", "  when ARE you\nopen", "几点开门", "Ｗｈｅｎ are you open！", "c++"]
)
async def test_it_answers_a_listed_question(question):
    run = await pre(plugins(), question)
    assert run.answer.content == "At nine."
    assert not run.needs_full_response


@pytest.mark.parametrize("question", ["When are you open tomorrow?", "whenareyouopen", "", "?!", "c"])
async def test_it_leaves_other_questions_to_a_model(question):
    assert (await pre(plugins(), question)).answer is None


@pytest.mark.parametrize("settings", [{"answers": [{"questions": "x", "answer": "y"}]}, {"answers": [{"answer": "y"}]}])
def test_it_refuses_settings_that_do_not_fit(settings):
    with pytest.raises(registry.InvalidSettings):
        registry.read_settings(CannedAnswers, settings)
