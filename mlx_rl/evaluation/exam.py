"""The windows to be judged, with their outcomes, handed out a batch at a time.

A window without a recorded outcome cannot be settled, so it is left out and counted; nothing is guessed. Outcomes
that somebody inferred are used and every report says so.

Shapes: W windows in all, B windows in a batch, T ticks.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlx_rl.features.kernel import FeatureKernel
from mlx_rl.features.schema import FeatureSchema
from mlx_rl.market.fills import Fills, price_fills
from mlx_rl.market.law import FillAssumption, LawSettings
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.records import Market, Tape

BATCH_TICKS = 400_000
WARM_UP_NS = 2 * 3600 * NS_PER_S  # features of the reference look back an hour
NO_OUTCOME = "no recorded outcome"
NO_TICKS = "no ticks"


@dataclass(frozen=True)
class Batch:
    """Some windows of an exam in memory.

    Attributes:
        first: index of the first one in the exam.
        tapes: the windows.
        payoffs: (B,) USD per Up share.
        law: the exam's money law.
    """

    first: int
    tapes: list[Tape]
    payoffs: NDArray[np.float64]
    law: LawSettings
    _fills: dict[str, list[Fills]] = field(default_factory=dict[str, list[Fills]])

    def fills(self, assumption: FillAssumption | None = None) -> list[Fills]:
        """Price every order of every window, under the law's own fill assumption or another one."""
        law = self.law if assumption is None else self.law.model_copy(update={"fills": assumption})
        if law.fills not in self._fills:
            self._fills[law.fills] = [price_fills(tape, law) for tape in self.tapes]
        return self._fills[law.fills]


@dataclass(frozen=True)
class Exam:
    """What a policy is judged on.

    Attributes:
        markets: (W,) the windows, by series and time.
        payoffs: (W,) USD per Up share.
        kinds: how many outcomes are official, inferred or synthetic.
        left_out: reason -> market ids that are not judged.
        law: the money law.
        tape: reads one window.
        context: windows just before and between those judged; the underlying's history runs on through them.
        dataset_id: which recording.
    """

    markets: tuple[Market, ...]
    payoffs: NDArray[np.float64]
    kinds: dict[str, int]
    left_out: dict[str, list[str]]
    law: LawSettings
    tape: Callable[[str], Tape]
    context: tuple[Market, ...] = ()
    dataset_id: str = ""

    def __len__(self) -> int:
        return len(self.markets)

    @property
    def open_ns(self) -> NDArray[np.int64]:
        """(W,) when each window opened: its cluster."""
        return np.array([m.open_ns for m in self.markets], dtype=np.int64)

    def batches(self, max_ticks: int = BATCH_TICKS) -> Iterator[Batch]:
        """Yield the windows in order, as many at a time as fit into `max_ticks` of the longest."""
        tapes: list[Tape] = []
        first = longest = 0
        for at, market in enumerate(self.markets):
            tape = self.tape(market.market_id)
            longest = max(longest, len(tape))
            if tapes and longest * (len(tapes) + 1) > max_ticks:
                yield Batch(first, tapes, self.payoffs[first:at], self.law)
                tapes, first, longest = [], at, len(tape)
            tapes.append(tape)
        if tapes:
            yield Batch(first, tapes, self.payoffs[first:], self.law)

    def features(self, schema: FeatureSchema) -> Callable[[Batch], list[NDArray[np.float32]]]:
        """Return a function that gives each batch its states (T, F); call it once per batch, in order."""
        kernel = FeatureKernel(schema)
        waiting: dict[str, deque[Market]] = {}
        for market in self.context:
            waiting.setdefault(market.series, deque()).append(market)

        def run(tape: Tape) -> NDArray[np.float32]:
            kernel.start(tape.market)
            return kernel.run(tape.recv_ns, tape.rows)

        def states(batch: Batch) -> list[NDArray[np.float32]]:
            out: list[NDArray[np.float32]] = []
            for tape in batch.tapes:
                earlier = waiting.get(tape.market.series, deque())
                while earlier and earlier[0].open_ns < tape.market.open_ns:
                    run(self.tape(earlier.popleft().market_id))
                out.append(run(tape))
            return out

        return states


def make_exam(
    markets: Sequence[Market],
    tape: Callable[[str], Tape],
    payoff_up: Mapping[str, float],
    kind: Mapping[str, str],
    law: LawSettings,
    *,
    n_ticks: Callable[[str], int] | None = None,
    everything: Sequence[Market] = (),
    dataset_id: str = "",
) -> Exam:
    """Put together the windows that can be judged.

    Args:
        markets: the windows asked for.
        tape: reads one of them by id.
        payoff_up: market id -> USD per Up share, where recorded.
        kind: market id -> "official", "inferred" or "synthetic".
        law: the money law.
        n_ticks: counts a window's ticks without reading them; None reads the tape.
        everything: all windows of the recording; those before and between the judged ones feed the features.
        dataset_id: which recording.

    Raises:
        UsageError: no window can be judged.
    """
    left_out: dict[str, list[str]] = {}
    judged: list[Market] = []
    for market in sorted(markets, key=lambda m: (m.series, m.open_ns)):
        if market.market_id not in payoff_up:
            left_out.setdefault(NO_OUTCOME, []).append(market.market_id)
        elif (n_ticks(market.market_id) if n_ticks else len(tape(market.market_id))) == 0:
            left_out.setdefault(NO_TICKS, []).append(market.market_id)
        else:
            judged.append(market)
    if not judged:
        reasons = "; ".join(f"{reason}: {len(ids)}" for reason, ids in left_out.items()) or "none was given"
        raise UsageError(f"none of {len(markets)} windows can be judged ({reasons}). Give a recording with outcomes.")
    first = {m.series: m.open_ns for m in reversed(judged)}
    last = {m.series: m.open_ns for m in judged}
    known = {m.market_id: m for m in (*everything, *markets)}
    for market in judged:
        del known[market.market_id]
    context = [
        m for m in known.values() if m.series in first and first[m.series] - WARM_UP_NS <= m.open_ns < last[m.series]
    ]
    kinds: dict[str, int] = {}
    for market in judged:
        name = kind.get(market.market_id, "unknown")
        kinds[name] = kinds.get(name, 0) + 1
    return Exam(
        tuple(judged), np.array([payoff_up[m.market_id] for m in judged], dtype=np.float64), kinds, left_out, law, tape,
        tuple(sorted(context, key=lambda m: m.open_ns)), dataset_id,
    )  # fmt: skip


def exam_of_tapes(tapes: Sequence[Tape], payoffs: Sequence[float], law: LawSettings, kind: str = "synthetic") -> Exam:
    """An exam over windows that are already in memory."""
    by_id = {tape.market.market_id: tape for tape in tapes}
    paid = dict(zip(by_id, payoffs, strict=True))
    return make_exam([t.market for t in tapes], by_id.__getitem__, paid, dict.fromkeys(by_id, kind), law)
