"""Why a turn went where it went, as people read it: the decision record as rows and tables.

Records of any age and of any plugin's making are shown: what has another form than expected is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from engine.entries import Retry
from engine.types import Json

KEPT = {"instance": _("the instance that answered it before"), "model": _("the model that answered it before")}
SOURCES = {
    "body": _("as the request says"),
    "header": _("as Accept-Language says"),
    "text": _("by its words"),
    "session": _("as the conversation before"),
    "default": _("by default"),
}
WHY = {
    "two_tried": _("two of it had been tried"),
    "nobody_left": _("nobody left"),
}


def reasons(decision: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Pairs of name and value; none for a turn that was not routed."""
    rules = _names(decision.get("rules"))
    rows = [
        (_("Refused"), _refusal(decision.get("refusal"))),
        (_("Model"), decision.get("model")),
        (_("Instance"), decision.get("instance")),
        (_("Language"), _language(decision.get("language"))),
        (_("Rules that matched"), rules),
        (_("Fallback"), _fallback(decision.get("fallback"))),
        (_("Session"), _session(decision.get("session"))),
        (_("Runner-up"), decision.get("runner_up")),
        (_("Waited for a place"), _waited(decision.get("waited"))),
        (_("Shared the call of turn"), decision.get("shared_with")),
    ]
    shown = [(name, value) for name, value in rows if value]
    return [*shown, (_("Rules that matched"), _("none"))] if shown and not rules else shown


def _language(found: Any) -> Any:
    """How a plugin found it."""
    if not isinstance(found, dict) or not isinstance(found.get("tag"), str):
        return None
    confidence = found.get("confidence")
    sure = f", {confidence:.2f}" if isinstance(confidence, int | float) else ""
    return f"{found['tag']} ({SOURCES.get(str(found.get('source')), found.get('source'))}{sure})"


def _waited(seconds: Any) -> str:
    return f"{seconds:.3f} s" if isinstance(seconds, int | float) and seconds else ""


def candidates(found: Any) -> Json | None:
    """The pool that was chosen from."""
    rows = [
        [_candidate(each), each.get("weight", "—"), _dash(each.get("score")), _words(each.get("removed"))]
        for each in _objects(found)
    ]
    return _table([_("Candidate"), _("Weight"), _("Score"), _("Removed because")], rows)


def passed_over(found: Any) -> Json | None:
    """The pools that came before it and had nobody to give, each with its candidates."""
    rows = [
        [f"{_names(pool.get('models')) or '—'}: {_why(pool.get('why'))}", _candidate(each), _words(each.get("removed"))]
        for pool in _objects(found)
        for each in _objects(pool.get("candidates")) or [{}]
    ]
    return _table([_("Passed over"), _("Candidate"), _("Removed because")], rows)


def retries(found: Sequence[Retry]) -> Json | None:
    """The calls that failed before the one that answered."""
    rows = [[f"{each.instance} (#{each.instance_id})", each.error, f"{each.seconds:.3f} s"] for each in found]
    return _table([_("Failed call"), _("Error"), _("After")], rows)


def _fallback(found: Any) -> Any:
    if not isinstance(found, dict):
        return None
    if found.get("language"):
        return _("to those of other languages, since nobody was left for %(language)s") % {
            "language": found["language"]
        }
    if "name" in found:
        return _("%(name)s, number %(place)s of the rules' fallbacks") % {
            "name": found["name"], "place": found.get("place", "—"),
        }  # fmt: skip
    if found.get("budget"):
        return _("to a model that the budget has room for")
    room = found.get("context_window")
    return _("to a larger context window: %(room)s") % {"room": _("no limit") if room is None else room}


def _refusal(found: Any) -> Any:
    return f"{found.get('message')} ({found.get('code')})" if isinstance(found, dict) else None


def _session(found: Any) -> Any:
    if not isinstance(found, dict) or not found.get("model"):
        return None
    kept = found.get("kept")
    if isinstance(kept, str) and kept:
        return _("kept %(what)s") % {"what": KEPT.get(kept, kept)}
    return _("could not stay with %(model)s") % {"model": found["model"]}


def _why(found: Any) -> Any:
    return WHY.get(found, _words(found)) if isinstance(found, str) else "—"


def _candidate(each: Json) -> str:
    return f"{each.get('instance')} (#{each.get('id')})" if each else "—"


def _names(found: Any) -> str:
    return ", ".join(map(str, found)) if isinstance(found, list) else ""


def _words(found: Any) -> str:
    return str(found or "—").replace("_", " ")


def _dash(found: Any) -> Any:
    return "—" if found is None else found


def _objects(found: Any) -> list[Json]:
    return found if isinstance(found, list) and all(isinstance(each, dict) for each in found) else []


def _table(headers: list[Any], rows: list[list[Any]]) -> Json | None:
    return {"headers": headers, "rows": rows} if rows else None
