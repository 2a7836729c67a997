"""What people are told of a plugin before they switch it on: by its class, without making one."""

from __future__ import annotations

import msgspec

from plugins import registry
from plugins.active import HOOKS
from plugins.base import PluginBase
from plugins.rehearsal import harmless


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """`about` is what its author wrote of it; `hooks` those it has of `HOOKS`. `needs_full_response`: a stream comes in
    one piece while it is on, `pure`: it also runs where a turn is only explained, `rehearses`: a dry run has no effect
    outside of its turns. `timeout` in seconds of a hook."""

    about: str
    hooks: list[str]
    needs_full_response: bool
    pure: bool
    rehearses: bool
    timeout: float


def traits_of(name: str) -> Traits | None:
    """None: it is not installed."""
    try:
        plugin = registry.get(name)
    except registry.InvalidPlugin:
        return None
    hooks = [hook for hook in HOOKS if getattr(plugin, hook) is not getattr(PluginBase, hook)]
    said = plugin.needs_full_response
    return Traits(
        about=_about(plugin),
        hooks=hooks,
        needs_full_response=said if isinstance(said, bool) else "post_process" in hooks,
        pure=plugin.pure,
        rehearses=harmless(plugin),
        timeout=plugin.timeout,
    )


def _about(plugin: type[PluginBase]) -> str:
    """Empty where its author wrote nothing: what a base says is not of it."""
    written = plugin.__dict__.get("__doc__") or ""
    return "\n\n".join(" ".join(each.split()) for each in written.split("\n\n")).strip()
