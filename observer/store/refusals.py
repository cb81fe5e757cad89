"""What an import saw, kept and refused, and why: the report that keeps repairs from being silent."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# Why a row is refused. These words are what the report prints.
BEFORE_OPEN = "before the window opened"
AFTER_CLOSE = "after the window closed"
DUPLICATE = "same time as the row before"
BACKWARDS = "time went backwards"
BAD_PRICE = "price not between 0 and 1"
BAD_SIZE = "negative or infinite size"
CROSSED = "crossed quotes (bid >= ask)"
NO_WINDOW = "of a window without ticks"
NO_MARKET = "of a market that the source does not describe"
BAD_TRADE = "price or size missing or not above zero"
DAMAGED = "damaged file"
OTHER_MARKET = "belongs to another market"
BAD_TIME = "unreadable time"
NO_QUOTE = "no tick with a quote"
LADDER_DIFFERS = "the depth last recorded is not that of the quotes"
IN_A_GAP = "taken in a gap before it was noticed"
SAME_TRADE = "a trade id seen before"
BREAKS_A_LAW = "breaks a law of the store"
ALREADY_OTHER = "the recording holds other records of that time"

# Why time is missing from a recording (table `gaps`).
NO_TICKS = "no ticks"
STARTS_LATE = "recording starts late"
ENDS_EARLY = "recording ends early"
COLLECTOR_DOWN = "collector down"
DAY_NOT_RECORDED = "day not recorded"


@dataclass
class ImportReport:
    """Counts by kind of record ("tick", "trade", "reference", "file", "window", "outcome").

    For every kind, seen = kept + refused.

    Attributes:
        importer: name of the format.
        seen: kind -> records met in the source.
        kept: kind -> records handed to the writer.
        refused: (kind, reason) -> market, instrument or file -> records.
        missing_quotes: quotes (of four per tick) that the kept ticks lack.
        gaps: spans recorded as missing, by reason.
    """

    importer: str
    seen: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    refused: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    missing_quotes: int = 0
    gaps: Counter[str] = field(default_factory=Counter)

    def refuse(self, kind: str, reason: str, where: str, count: int = 1) -> None:
        """Count `count` refused records of one market, instrument or file."""
        if count:
            self.refused.setdefault((kind, reason), Counter())[where] += int(count)

    def add(self, other: "ImportReport") -> None:
        """Count everything that another report counted."""
        self.seen.update(other.seen)
        self.kept.update(other.kept)
        self.gaps.update(other.gaps)
        self.missing_quotes += other.missing_quotes
        for key, places in other.refused.items():
            self.refused.setdefault(key, Counter()).update(places)

    def refused_total(self, kind: str) -> int:
        """How many records of one kind were refused, for whatever reason."""
        return sum(sum(by_place.values()) for (of, _), by_place in self.refused.items() if of == kind)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, in a fixed order: equal imports give equal reports."""
        return {
            "importer": self.importer,
            "seen": dict(sorted(self.seen.items())),
            "kept": dict(sorted(self.kept.items())),
            "missing_quotes": self.missing_quotes,
            "gaps": dict(sorted(self.gaps.items())),
            "refused": [
                {"kind": kind, "reason": reason, "count": sum(places.values()), "where": dict(sorted(places.items()))}
                for (kind, reason), places in sorted(self.refused.items())
            ],
        }
