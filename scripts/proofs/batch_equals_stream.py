"""The state a model trains on is, bit for bit, the state it sees live, on every recorded quarter-hour.

Every quarter-hour window found is played twice for each schema and each kind of reference: whole, and tick after
tick as live does. The bundled windows and made-up ones with an underlying are always there; further recordings are
looked for in the folder that `MLX_RL_RECORDINGS` names.

The control restarts the live side in the middle of each window without replaying what it missed.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mlx_rl.features.kernel import FeatureKernel, batch_features
from mlx_rl.features.schema import SCHEMAS, FeatureSchema, schema_for
from observer.importers.job import bring_in
from observer.kit.console import say
from observer.records import REFERENCE, Tape
from observer.samples import sample
from observer.store.reader import Recording
from scripts.bench_features import made_up_tape
from scripts.proofs import Measurement

# folder under MLX_RL_RECORDINGS -> its importer
RECORDED = {
    "polymarket_btc15m_1s": "polymarket_btc15m_1s",
    "polymarket_btc15m_top_1s": "polymarket_btc15m_top_1s",
    "kalshi_crypto15m": "kalshi_crypto15m",
}
VARIANTS = [(name, reference) for name in SCHEMAS for reference in ("underlying", "own_mid")]


def measure() -> Measurement:
    """Count the states in which live and batch differ."""
    return _compare(_sources(), restart=False)


def control() -> Measurement:
    """The same on the made-up windows, with a live side that restarts in the middle of each."""
    return _compare([("made up, with an underlying", _made_up())], restart=True)


def _compare(sources: Iterable[tuple[str, list[Tape]]], *, restart: bool) -> Measurement:
    detail, different, states = {}, 0, 0
    for source, tapes in sources:
        ticks = sum(len(tape) for tape in tapes)
        for name, reference in VARIANTS:
            schema = schema_for(name, reference=reference)
            different += _differing(schema, tapes, restart=restart)
            states += ticks
        detail[source] = {"windows": len(tapes), "ticks": ticks}
    return Measurement(different, 0, "states that differ", different == 0 and states > 0, {"states": states, **detail})


def _differing(schema: FeatureSchema, tapes: list[Tape], *, restart: bool) -> int:
    kernel, different = FeatureKernel(schema), 0
    for tape, batch in zip(tapes, batch_features(schema, tapes), strict=True):
        kernel.start(tape.market)
        for t, (recv_ns, row) in enumerate(zip(tape.recv_ns.tolist(), tape.rows, strict=True)):
            if restart and t == len(tape) // 2:
                kernel = FeatureKernel(schema)
                kernel.start(tape.market)
            different += kernel.push(recv_ns, row).tobytes() != batch[t].tobytes()
    return different


def _sources() -> Iterator[tuple[str, list[Tape]]]:
    yield "made up, with an underlying", _made_up()
    bundled = sample("polymarket_btc15m_6_windows")
    wanted = {bundled.name: (bundled, "polymarket_btc15m_1s")}
    if "MLX_RL_RECORDINGS" in os.environ:
        folder = Path(os.environ["MLX_RL_RECORDINGS"])
        wanted |= {name: (folder / name, importer) for name, importer in RECORDED.items()}
    else:
        say(f"MLX_RL_RECORDINGS is not set: without {', '.join(RECORDED)}")
    for name, (folder, importer) in wanted.items():
        with TemporaryDirectory() as data_dir:
            bring_in(importer, folder, data_dir)
            yield name, list(Recording(data_dir).tapes())


def _made_up() -> list[Tape]:
    """Four windows with an underlying, a third of its prices missing."""
    tape = made_up_tape(8_000)
    tape.rows[np.arange(8_000) % 3 == 1, REFERENCE] = np.nan
    return [Tape(tape.market, tape.recv_ns[a : a + 2_000], tape.rows[a : a + 2_000]) for a in range(0, 8_000, 2_000)]
