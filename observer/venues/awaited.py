"""Snapshots that were asked for and have not come.

An answer may get lost like any other message, so what does not come is asked for again: after 5 s, then 10, and so on
up to a minute, for as long as it takes.
"""

from collections.abc import Iterable

from observer.kit.clock import NS_PER_S

FIRST_WAIT_NS, LONGEST_WAIT_NS = 5 * NS_PER_S, 60 * NS_PER_S
_NEVER_NS = 2**63 - 1


class Awaited:
    """What is awaited, by name.

    Attributes:
        next_ns: when the first of them is due again.
    """

    __slots__ = ("_due_ns", "_wait_ns", "next_ns")

    def __init__(self) -> None:
        self._due_ns: dict[str, int] = {}
        self._wait_ns: dict[str, int] = {}
        self.next_ns = _NEVER_NS

    def __contains__(self, name: str) -> bool:
        return name in self._due_ns

    def asked(self, names: Iterable[str], now_ns: int) -> None:
        """These were asked for, for the first time or again."""
        for name in names:
            wait_ns = min(2 * self._wait_ns[name], LONGEST_WAIT_NS) if name in self._wait_ns else FIRST_WAIT_NS
            self._wait_ns[name], self._due_ns[name] = wait_ns, now_ns + wait_ns
        self._look()

    def came(self, name: str) -> None:
        """This one came and is good."""
        if self._due_ns.pop(name, None) is not None:
            del self._wait_ns[name]
            self._look()

    def due(self, now_ns: int) -> list[str]:
        """Those that should be asked for again."""
        return [name for name, due_ns in self._due_ns.items() if due_ns <= now_ns]

    def _look(self) -> None:
        self.next_ns = min(self._due_ns.values(), default=_NEVER_NS)
