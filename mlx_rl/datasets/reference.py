"""Whether a recording has a price of the underlying, which decides what a state's returns are returns of."""

from collections.abc import Sequence

import numpy as np

from mlx_rl.features.schema import FeatureSchema
from observer.kit.errors import UsageError
from observer.records import REFERENCE, Market
from observer.store.reader import Recording

LOOKED_AT = 20  # windows per series, spread evenly: enough to tell a feed that was recorded from one that was not


def reference_of(recording: Recording, markets: Sequence[Market]) -> str:
    """ "underlying" where most windows have a reference price, else "own_mid"; windows without are then missing values.

    Raises:
        UsageError: some series have a reference and others have none; one schema cannot serve both.
    """
    by_series: dict[str, list[Market]] = {}
    for market in markets:
        by_series.setdefault(market.series, []).append(market)
    found = {
        series: "underlying" if share_with_reference(recording, windows) >= 0.5 else "own_mid"
        for series, windows in by_series.items()
    }
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{series}: {kind}" for series, kind in found.items())
        raise UsageError(f"some series have a price of the underlying and some have none ({listed}). Pass --market.")
    return next(iter(found.values()))


def share_with_reference(recording: Recording, markets: Sequence[Market]) -> float:
    """Share of the windows, of at most `LOOKED_AT`, in which a price of the underlying was known."""
    chosen = np.unique(np.linspace(0, len(markets) - 1, min(LOOKED_AT, len(markets))).astype(int))
    tapes = (recording.tape(markets[int(i)].market_id) for i in chosen)
    known = [np.isfinite(tape.rows[:, REFERENCE]).any() for tape in tapes]
    return float(np.mean(known))


def require_reference(recording: Recording, markets: Sequence[Market], schema: FeatureSchema, who: str) -> None:
    """Refuse a policy whose returns are the underlying's on windows that have no price of it.

    Raises:
        UsageError: not one of the windows looked at has a reference price.
    """
    if schema.params["reference"] == "underlying" and share_with_reference(recording, markets) == 0:
        raise UsageError(
            f"{who} reads returns of the underlying, and {recording.root} holds no price of it for these windows. "
            "Import a reference feed, or use a model that was trained without one."
        )
