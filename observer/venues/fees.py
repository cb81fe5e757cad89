"""Dated taker-fee schedules, the fallback where a recording does not state its own.

Sources: docs.polymarket.com fees page and changelog (crypto schedule 1 from January 2026, schedule 2 from
2026-03-30), Kalshi fee schedule (quadratic, rounded up), Polymarket US (30 bps of notional).
"""

from observer.kit.clock import parse_iso
from observer.kit.errors import BadRecording
from observer.records import FeeSchedule

_V1 = parse_iso("2026-01-01T00:00:00Z")
_V2 = parse_iso("2026-03-30T00:00:00Z")

FREE = FeeSchedule("free", "none", 0.0)
POLYMARKET_CRYPTO: tuple[FeeSchedule, ...] = (
    FeeSchedule("polymarket-crypto-v0", "none", 0.0, to_ns=_V1),
    FeeSchedule("polymarket-crypto-v1", "weighted", 0.25, exponent=2.0, from_ns=_V1, to_ns=_V2),
    FeeSchedule("polymarket-crypto-v2", "quadratic", 0.07, exponent=1.0, from_ns=_V2),
)
KALSHI: tuple[FeeSchedule, ...] = (
    FeeSchedule("kalshi-quadratic", "quadratic", 0.07, rounding_usd=1e-4, round_up=True, taken_in="cash"),
)
POLYMARKET_US: tuple[FeeSchedule, ...] = (FeeSchedule("polymarket-us-30bps", "notional", 0.0030, taken_in="cash"),)

FAMILIES: dict[str, tuple[FeeSchedule, ...]] = {
    "free": (FREE,),
    "polymarket-crypto": POLYMARKET_CRYPTO,
    "kalshi": KALSHI,
    "polymarket-us": POLYMARKET_US,
}

# Every schedule by its own name, for `--fees NAME`.
BY_NAME: dict[str, FeeSchedule] = {s.name: s for family in FAMILIES.values() for s in family}


def schedule_on(family: str, when_ns: int) -> FeeSchedule:
    """Return the schedule of `family` in force at `when_ns`.

    Raises:
        BadRecording: no schedule of that family covers the time.
    """
    for schedule in FAMILIES[family]:
        if schedule.from_ns <= when_ns < schedule.to_ns:
            return schedule
    raise BadRecording(f"fee family {family!r} has no schedule at {when_ns} ns. Add one to observer/venues/fees.py.")
