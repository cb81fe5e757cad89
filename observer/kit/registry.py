"""Families of plug-ins: one file and one line in a lazy table of strings.

A table maps a public name to `"module:attribute"`. Nothing is imported until a name is asked for, so a
table may list heavy members at no cost.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from observer.kit.errors import UsageError


class Registry(Mapping[str, Any]):
    """A read-only, lazily importing table of one family's members.

    Args:
        family: what the members are called, singular, as it shall read in an error ("importer").
        table: public name -> "package.module:attribute", or "package.module" where the module is the member.
    """

    def __init__(self, family: str, table: dict[str, str]) -> None:
        self.family = family
        self.table = dict(table)

    def __getitem__(self, name: str) -> Any:
        """Import and return the member called `name`; raises `UsageError` for a name not in the table."""
        if name not in self.table:
            raise UsageError(f"no {self.family} is called {name!r}. Known: {', '.join(self.table)}.")
        module, _, attribute = self.table[name].partition(":")
        loaded = import_module(module)
        return getattr(loaded, attribute) if attribute else loaded

    def __contains__(self, name: object) -> bool:
        return name in self.table

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)
