import pytest

from plugins import registry
from plugins.base import PluginBase, PluginSettings


class Counted(PluginBase):
    name = "counted"

    class Settings(PluginSettings):
        count: int = 1


def test_it_knows_the_built_in_plugins():
    assert {"canned_answers", "language"} <= set(registry.names())
    assert {**registry.labels(), "canned_answers": "Canned answers", "language": "Language"} == registry.labels()
    assert registry.get("canned_answers").name == "canned_answers"


def test_it_names_what_there_is_instead():
    with pytest.raises(registry.InvalidPlugin, match="no plugin 'nothing'; there are: canned_answers"):
        registry.get("nothing")


def test_it_reads_settings_by_their_types():
    assert registry.read_settings(Counted, {}).count == 1
    assert registry.read_settings(Counted, {"count": 2}).count == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"count": "two"}, r"\$.count"), ({"counts": 1}, "unknown field `counts`"), ([], "object"), (None, "object")],
)
def test_it_refuses_settings_that_do_not_fit(settings, said):
    with pytest.raises(registry.InvalidSettings, match=said):
        registry.read_settings(Counted, settings)
