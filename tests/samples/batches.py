"""Batches as the recorder makes them, small and telling."""

import random

from observer.kit.clock import NS_PER_S
from observer.store.batch import PRICE, Batch, Connected, InstrumentSeen, Lateness, Note

QUARTER_NS = 1_790_000_100 * NS_PER_S  # a multiple of 900 s
START_NS = QUARTER_NS + 10 * NS_PER_S
STEP_NS = NS_PER_S // 2

ALIVE: tuple[Note, ...] = (
    Connected(0, "polymarket", "market", "ws://127.0.0.1/market", START_NS),
    InstrumentSeen(0, "polymarket", "123", "btc-updown-15m-1790000100", 1, "BTC", ""),
)


def make_batch(index: int, *, raws: int = 3, events: int = 2, ticks: int = 1, step_ns: int = STEP_NS) -> Batch:
    """The batch that closes `index` steps after the start; equal arguments make equal batches."""
    rng = random.Random(index)
    wall_ns = START_NS + index * step_ns
    return Batch(
        number=-1,
        wall_ns=wall_ns,
        mono_ns=index * step_ns,
        raws=[(0, wall_ns - raws + i, rng.randbytes(rng.randrange(1, 200))) for i in range(raws)],
        events=[(PRICE, 0, 0, wall_ns - events + i, wall_ns - 10, rng.randrange(10**9)) for i in range(events)],
        ticks=[(i, wall_ns - wall_ns % STEP_NS, [0.5] * 12, None) for i in range(ticks)],
        notes=[Lateness(wall_ns, rng.randrange(10**6))],
    )
