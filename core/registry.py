"""Names for things that are imported only when somebody asks for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from smartrec.core.errors import MissingExtra, UnknownName, did_you_mean


@dataclass(frozen=True)
class Entry:
    """One registered name.

    Attributes:
        target: ``"package.module:attribute"``, a string so that listing names imports nothing.
        about: One line for ``smartrec list``.
        facts: What tests and the command line select by.
    """

    target: str
    about: str
    facts: dict[str, Any]


class Registry:
    """A table of names, each pointing at an object by a string.

    Args:
        kind: What the names stand for, as used in messages ("agent", "task").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, target: str, about: str, **facts: Any) -> None:
        """Register ``name``.

        Raises:
            ValueError: ``name`` is taken.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered already, as {self._entries[name].target}")
        self._entries[name] = Entry(target, about, facts)

    def entry(self, name: str) -> Entry:
        """Return the entry of ``name``.

        Raises:
            UnknownName: There is none; the message names the nearest.
        """
        if name not in self._entries:
            raise UnknownName(f"unknown {self.kind} {name!r}. {did_you_mean(name, self._entries)}")
        return self._entries[name]

    def get(self, name: str) -> Any:
        """Import and return what ``name`` stands for.

        Raises:
            UnknownName: No such name.
            MissingExtra: It needs a package of its entry's ``extra``, and that is not installed.
        """
        entry = self.entry(name)
        try:
            return load(entry.target)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if "extra" not in entry.facts or missing in ("", "smartrec"):
                raise
            extra = entry.facts["extra"]
            raise MissingExtra(f'{self.kind} {name} needs {missing}: pip install "smartrec[{extra}]"') from None

    def names(self, **facts: Any) -> list[str]:
        """Return the names, in the order of registration, whose entries have all of ``facts``."""
        return [
            name
            for name, entry in self._entries.items()
            if all(entry.facts.get(key) == value for key, value in facts.items())
        ]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)


def load(target: str) -> Any:
    """Import ``"package.module:attribute"`` and return the attribute.

    Raises:
        UnknownName: The module cannot be found, or has no such attribute.
    """
    module_name, _, attribute = target.partition(":")
    if not attribute or not module_name or module_name.startswith("."):
        raise UnknownName(f"{target!r} is no import path; write it as 'module:Name', for example 'mymodule:MyAgent'")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UnknownName(
                f"no module named {module_name!r}; is its folder the current one, or on PYTHONPATH?"
            ) from None
        raise
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise UnknownName(f"module {module_name!r} has no {attribute!r}. {did_you_mean(attribute, public)}")
    return getattr(module, attribute)
