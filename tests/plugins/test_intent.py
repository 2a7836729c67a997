from plugins.builtin.intent import IntentRecognition
from tests.conformance.plugins import PluginSuite


class TestIntent(PluginSuite):
    plugin = IntentRecognition
