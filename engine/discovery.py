"""Finds the extensions of one kind: the modules of a package of ours, and the entry points of outside packages. Both
come in through the same door and none is preferred but by who was first to have a name."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from types import ModuleType
from typing import Generic, NamedTuple, TypeVar, cast

log = logging.getLogger(__name__)

B = TypeVar("B")


class Extension(NamedTuple):
    """What was found under a name. `source` is the module of a built-in, else what the entry point `entry` says, of the
    `version` of an outside `package`. `error`: why it cannot be used, empty where it can."""

    name: str
    source: str
    entry: str = ""
    package: str = ""
    version: str = ""
    error: str = ""


class Registry(Generic[B]):
    """Subclasses of `base` by their `name`. `package` holds the built-ins; `group` names the entry points (a class or a
    module that defines some): a class without a name is called as its entry point. `unknown` makes the error for a name
    nobody has."""

    def __init__(self, base: type[B], package: ModuleType, group: str, *, unknown: Callable[[str], Exception]) -> None:
        self._base = base
        self._package = package
        self._group = group
        self._unknown = unknown
        self._found: dict[str, type[B]] | None = None
        self._extensions: list[Extension] = []

    def get(self, name: str) -> type[B]:
        """Raises what `unknown` makes of a text that lists the names there are."""
        try:
            return self._classes()[name]
        except KeyError:
            kind = self._group.rpartition(".")[2].removesuffix("s")
            raise self._unknown(f"There is no {kind} {name!r}; there are: {', '.join(self.names())}.") from None

    def forget(self) -> None:
        """Looks again at the next question: packages have come or gone."""
        self._found = None

    def names(self) -> list[str]:
        return sorted(self._classes())

    def labels(self) -> dict[str, str]:
        """Name to label, for forms."""
        return {name: getattr(self.get(name), "label", "") or name for name in self.names()}

    def extensions(self) -> list[Extension]:
        """Built-ins and outside ones in the order they were found, also those that cannot be used."""
        self._classes()
        return list(self._extensions)

    @contextmanager
    def registered(self, *classes: type[B]) -> Iterator[None]:
        """For tests: these exist, in place of any of the same name, until the block is left."""
        before = self._classes()
        self._found = {**before, **{_name(cls): cls for cls in classes}}
        try:
            yield
        finally:
            self._found = before

    def _classes(self) -> dict[str, type[B]]:
        """What is installed does not change while a process runs: looked up once."""
        if self._found is None:
            self._found, self._extensions = {}, []
            for module in pkgutil.iter_modules(self._package.__path__, f"{self._package.__name__}."):
                self._collect(self._found, importlib.import_module(module.name), Extension("", module.name))
            for entry in entry_points(group=self._group):
                self._enter(self._found, entry)
        return self._found

    def _enter(self, found: dict[str, type[B]], entry: EntryPoint) -> None:
        dist = entry.dist
        package, version = (dist.name, dist.version) if dist is not None else ("", "")
        about = Extension(entry.name, entry.value, entry.name, package, version)
        try:
            known = len(self._extensions)
            origin = entry.load()
            if isinstance(origin, type) and issubclass(origin, self._base) and not _name(origin):
                setattr(origin, "name", entry.name)  # noqa: B010 - not every base says it has one
            self._collect(found, origin, about)
            if len(self._extensions) == known:
                log.error("%s: %s of %s holds nothing that fits", self._group, entry.name, entry.value)
                self._extensions.append(about._replace(error=f"it holds no {self._base.__name__} with a name"))
        except Exception as error:  # noqa: BLE001 - border: somebody else's package must not keep ours from starting
            log.exception("%s: %s of %s cannot be loaded", self._group, entry.name, entry.value)
            self._extensions.append(about._replace(error=f"{type(error).__name__}: {error}"))

    def _collect(self, found: dict[str, type[B]], origin: object, about: Extension) -> None:
        """Adds the class, or those a module defines. The first to have a name keeps it."""
        members = vars(origin).values() if isinstance(origin, ModuleType) else [origin]
        for cls in members:
            if not self._fits(cls) or (isinstance(origin, ModuleType) and cls.__module__ != origin.__name__):
                continue
            cls = cast(type[B], cls)
            taken = found.setdefault(_name(cls), cls)
            error = "" if taken is cls else f"the name is taken by {taken.__module__}:{taken.__qualname__}"
            if error:
                log.error("%s: %r of %s is ignored, the name is taken", self._group, _name(cls), about.source)
            self._extensions.append(about._replace(name=_name(cls), error=error))

    def _fits(self, cls: object) -> bool:
        return isinstance(cls, type) and issubclass(cls, self._base) and not isabstract(cls) and bool(_name(cls))


def _name(cls: object) -> str:
    return cast(str, getattr(cls, "name", ""))
