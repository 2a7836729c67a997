"""Typed reads of the environment; only `settings.py` uses them. A bad value stops the start with the variable's name.

Every variable may instead be given as `NAME_FILE`, the path of a file that holds it (how container platforms hand over
secrets)."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from tenants.origin_names import PORTS, parse_origin

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


def text(name: str, default: str = "") -> str:
    path = os.environ.get(f"{name}_FILE")
    if path and name not in os.environ:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE: cannot read {path}: {error.strerror}") from None
    return os.environ.get(name, default).strip()


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = text(name, default).lower()
    if value not in allowed:
        raise ImproperlyConfigured(f"{name}: {value!r} is none of {', '.join(allowed)}")
    return value


def flag(name: str, default: bool) -> bool:
    value = text(name, "on" if default else "off").lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ImproperlyConfigured(f"{name}: {value!r} is neither on nor off")


def whole(name: str, default: int, *, low: int | None = None, high: int | None = None) -> int:
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}: {value!r} is not a whole number") from None
    if (low is not None and number < low) or (high is not None and number > high):
        raise ImproperlyConfigured(f"{name}: {number} is outside {low} to {high}")
    return number


def seconds(name: str, default: float, *, low: float = 0, high: float = float("inf")) -> float:
    value = text(name, str(default))
    try:
        number = float(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}: {value!r} is not a number of seconds") from None
    if not 0 <= number < float("inf"):
        raise ImproperlyConfigured(f"{name}: {value!r} is not a number of seconds")
    if not low <= number <= high:
        raise ImproperlyConfigured(f"{name}: {value!r} is not between {low:g} and {high:g} seconds")
    return number


def words(name: str, default: str = "") -> list[str]:
    """A comma list."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def url(name: str) -> str:
    """An http or https address without a slash at its end, its origin as browsers write it; empty: not given."""
    value = text(name).rstrip("/")
    if not value:
        return ""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in PORTS or "@" in parts.netloc or parts.query or parts.fragment:
        raise ImproperlyConfigured(f"{name}: {value!r} is not https://host, perhaps with a port and a path")
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}{'' if port in (None, PORTS[parts.scheme]) else f':{port}'}{parts.path}"


def origins(name: str) -> list[str]:
    """A comma list of web pages' origins."""
    try:
        return [parse_origin(word) for word in words(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None


def file_of(name: str) -> Path | None:
    """The file that `text` of the same name reads; None: it reads the environment itself."""
    path = os.environ.get(f"{name}_FILE")
    return Path(path) if path and name not in os.environ else None


def secret_file(name: str, file: Path) -> Path | None:
    """Where `secret` of the same arguments found it; None: in the environment itself."""
    if os.environ.get(name, "").strip():
        return None
    return file_of(name) or file


def secret(name: str, file: Path, make: object) -> str:
    """A secret from the environment, else from `file`, which is made (mode 600) on first use by calling `make`."""
    value = text(name)
    if value:
        return value
    if not file.exists():
        assert callable(make)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = str(make())
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.touch(mode=0o600)
        temporary.write_text(made, encoding="utf-8")
        try:
            os.link(temporary, file)  # never replaces the secret of a process that was faster
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return file.read_text(encoding="utf-8").strip()
