"""Which language a turn is in, for rules, other plugins, instances of a language, the journal and statistics."""

from plugins.languages.plugin import Language

__all__ = ["Language"]
