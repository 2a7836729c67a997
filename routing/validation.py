"""What people may enter about models and rules. Each function returns the clean value or raises a django
ValidationError that names the field. Models call them from `clean()`: forms, services and commands refuse the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_noop

from adapters import registry
from adapters.base import AdapterConfig, InvalidAdapterConfig
from engine.addresses import AddressRefused, check_host
from engine.outbound import HttpClient
from engine.types import AUTO
from routing.conditions import ConditionError, compile_condition
from routing.documents import UNSEEN
from routing.table import MAX_NAME

MAX_CONDITIONS = 50
MAX_FALLBACKS = 8
MAX_COMPARISONS = 1000  # of all rules in use of a scope: every decision may have to make them all

_NAME = re.compile(r"[\w.:/@+*-]+\Z")
_NAMED = gettext_noop("Use 1 to %(most)d letters, digits and . : / @ + - _ (and * as a wildcard).")
_AUTO_IS_TAKEN = gettext_noop("'auto' means that the rules decide; no model can have this name.")
_NO_LANGUAGE = gettext_noop("%(tag)s is not a language tag such as zh or en.")
_CONDITIONS = gettext_noop("At most %(most)d conditions.")
_CONDITION = gettext_noop("Condition %(number)d, column %(column)d: %(error)s.")
_UNSEEN = gettext_noop("Condition %(number)d, column %(column)d: control characters are not allowed here.")
_COMPARISONS = gettext_noop(
    "All rules in use would make %(count)s comparisons, at most %(most)s are allowed: use fewer or simpler conditions."
)
_FALLBACKS = gettext_noop("At most %(most)d names.")
_NEVER_CALLED = gettext_noop("The platform allows no calls there: %(error)s.")
_NOT_CALLED = gettext_noop("Calls there need the platform's leave: %(error)s.")
_NO_ADDRESS = gettext_noop("%(endpoint)s is not an http or https address.")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*\Z")


def clean_model_name(name: object, *, field: str = "name") -> str:
    """Letters of any script, digits and `. : / @ + - _`; `*` stands for any characters; `auto` is taken."""
    if not isinstance(name, str) or not _NAME.match(name) or len(name) > MAX_NAME:
        raise ValidationError({field: ValidationError(_NAMED, params={"most": MAX_NAME})})
    if name == AUTO:
        raise ValidationError({field: _AUTO_IS_TAKEN})
    return name


def clean_languages(languages: object) -> list[str]:
    """Primary language subtags such as `zh`, in lower case, each once."""
    if isinstance(languages, str) or not isinstance(languages, Iterable):
        raise ValidationError({"languages": gettext_noop("A list is needed, such as [zh, en].")})
    tags = [str(tag) for tag in languages]
    if bad := [tag for tag in tags if not _LANGUAGE.match(tag)]:
        raise ValidationError({"languages": ValidationError(_NO_LANGUAGE, params={"tag": repr(bad[0])})})
    return list(dict.fromkeys(re.split("[-_]", tag)[0].lower() for tag in tags))


def clean_conditions(conditions: object) -> list[str]:
    """A list of conditions that compile; the message says which one and where in it."""
    if not isinstance(conditions, list) or not all(isinstance(text, str) for text in conditions):
        raise ValidationError({"conditions": gettext_noop("A list of conditions is needed.")})
    if len(conditions) > MAX_CONDITIONS:
        raise ValidationError({"conditions": ValidationError(_CONDITIONS, params={"most": MAX_CONDITIONS})})
    for number, text in enumerate(conditions, 1):
        if (unseen := UNSEEN.search(text)) is not None:
            where = {"number": number, "column": unseen.start() + 1}
            raise ValidationError({"conditions": ValidationError(_UNSEEN, params=where)})
        try:
            compile_condition(text)
        except ConditionError as error:
            said = ValidationError(_CONDITION, params={"number": number, "column": error.column, "error": error.reason})
            raise ValidationError({"conditions": said}) from None
    return conditions


@lru_cache(maxsize=4096)
def _comparisons(text: str) -> int:
    try:
        return compile_condition(text).comparisons
    except ConditionError:  # its rule is left out
        return 0


def count_comparisons(conditions: Iterable[str]) -> int:
    return sum(map(_comparisons, conditions))


def check_comparisons(count: int) -> None:
    """Of all rules of a tenant's, or of the platform's, that are in use."""
    if count > MAX_COMPARISONS:
        said = ValidationError(_COMPARISONS, params={"count": f"{count:,}", "most": f"{MAX_COMPARISONS:,}"})
        raise ValidationError({"conditions": said})


def clean_fallbacks(names: object) -> list[str]:
    """A list of public names, each once."""
    if not isinstance(names, list):
        raise ValidationError({"fallbacks": gettext_noop("A list of public names is needed.")})
    if len(names) > MAX_FALLBACKS:
        raise ValidationError({"fallbacks": ValidationError(_FALLBACKS, params={"most": MAX_FALLBACKS})})
    return list(dict.fromkeys(clean_model_name(name, field="fallbacks") for name in names))


def clean_endpoint(endpoint: str, *, private: bool) -> str:
    """Without a user or password: those would be shown and dumped in clear. Nothing is looked up here: what a name
    stands for is seen when it is called."""
    endpoint = endpoint.strip()
    if "@" in endpoint.partition("://")[2].partition("/")[0]:
        raise ValidationError({"endpoint": gettext_noop("Give the key as api_key, not inside the address.")})
    try:
        if host := urlsplit(endpoint).hostname:
            check_host(host, private=private)
    except AddressRefused as error:
        said = ValidationError(_NEVER_CALLED if private else _NOT_CALLED, params={"error": str(error)})
        raise ValidationError({"endpoint": said}) from None
    except ValueError:
        said = ValidationError(_NO_ADDRESS, params={"endpoint": repr(endpoint)})
        raise ValidationError({"endpoint": said}) from None
    return endpoint


def check_adapter(name: str, config: AdapterConfig) -> None:
    """Builds the adapter and throws it away: it opens nothing, so it needs no client."""
    try:
        adapter = registry.get(name)
    except InvalidAdapterConfig as error:
        raise ValidationError({"adapter": str(error)}) from None
    try:
        adapter(config, cast(HttpClient, None))
    except InvalidAdapterConfig as error:
        field = str(error).partition(":")[0]
        raise ValidationError({field if field in ("endpoint", "options") else "adapter": str(error)}) from None
