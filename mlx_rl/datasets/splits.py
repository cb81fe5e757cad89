"""Which windows may be learnt from, which choose the epoch, and which are opened once.

Everything is cut by clock window: markets that open together (BTC and ETH at 13:00) always fall on the same
side, because what happened in one tells about the other. Folds are walk-forward: training first, then
validation, then test, never the other way round. A training window is purged when it closes after the next
fold begins, and `embargo_windows` clock windows are dropped at each border.

The test fold is opened in one place, `open_test`, which writes each opening down beside the recording: the
second look is another trial, and reports say how many there were.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from observer.kit.clock import iso
from observer.kit.errors import UsageError
from observer.records import Market

OPENINGS = "test_openings.jsonl"


class SplitSettings(BaseModel):
    """How a recording is cut into training, validation and test windows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    valid_frac: float = Field(default=0.15, ge=0, lt=1, description="share of the clock windows that choose the epoch")
    test_frac: float = Field(
        default=0.2, ge=0, lt=1, description="share of the clock windows, the last ones, kept unseen"
    )
    embargo_windows: int = Field(default=1, ge=0, description="clock windows dropped at each border between folds")


class Folds(BaseModel):
    """What a model says of the windows it was made from; its manifest keeps it, and judging goes by it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    market: str | None = Field(description="symbols or series it was trained on, as asked for; None: all")
    settings: SplitSettings
    fold: int = Field(default=1, ge=1, description="which fold of a walk-forward, from 1")
    n_folds: int = Field(default=1, ge=1, description="how many the walk-forward has; 1: it is none")
    train_windows: int = Field(description="market windows it learnt from")
    valid_windows: int = Field(description="market windows that chose the epoch")
    trained_from_ns: int = Field(description="open of the first of them, UTC")
    trained_until_ns: int = Field(description="close of the last of them, UTC")
    unseen_from_ns: int = Field(description="windows that open from here on lie behind the embargo, UTC")


@dataclass(frozen=True)
class Split:
    """Market ids of each fold, in time order, and what the borders cost."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    dropped: tuple[str, ...]  # purged or embargoed


def split_markets(markets: Iterable[Market], settings: SplitSettings) -> Split:
    """Cut markets into one train, valid and test fold, oldest first.

    Raises:
        UsageError: too few clock windows for every fold asked for.
    """
    by_open = _by_clock_window(markets)
    opens = sorted(by_open)
    n_test, n_valid = _share(len(opens), settings.test_frac), _share(len(opens), settings.valid_frac)
    return _cut(by_open, opens, n_valid, n_test, settings.embargo_windows)


def walk_forward(markets: Iterable[Market], n_folds: int, settings: SplitSettings) -> list[Split]:
    """Cut markets into `n_folds` splits whose test folds follow one another and cover the recording's end.

    Each fold trains on everything before its validation windows. Test folds share no window.

    Raises:
        UsageError: too few clock windows for that many folds.
    """
    by_open = _by_clock_window(markets)
    opens = sorted(by_open)
    n_test = round(len(opens) * settings.test_frac / n_folds)
    n_valid = _share(len(opens), settings.valid_frac)
    if n_test < 1:
        raise UsageError(
            f"{len(opens)} clock windows cannot give {n_folds} test folds of {settings.test_frac:.0%}. "
            "Record more, ask for fewer folds, or raise --test-frac."
        )
    folds: list[Split] = []
    for k in range(n_folds):
        seen = opens[: len(opens) - (n_folds - 1 - k) * n_test]
        folds.append(_cut(by_open, seen, n_valid, n_test, settings.embargo_windows))
    return folds


def cut_fold(
    markets: list[Market], settings: SplitSettings, *, fold: int = 1, n_folds: int = 1, market: str | None = None
) -> tuple[Split, Folds]:
    """One fold's split of some markets, and what its model will say of it; a single fold is the plain split.

    Raises:
        UsageError: too few clock windows.
    """
    split = split_markets(markets, settings) if n_folds == 1 else walk_forward(markets, n_folds, settings)[fold - 1]
    by_id = {m.market_id: m for m in markets}
    used = [by_id[name] for name in (*split.train, *split.valid)]
    until_ns = max(m.close_ns for m in used)
    # Without a test fold nothing was left out behind the border, so the embargo is reckoned in windows' lengths.
    behind_ns = until_ns + settings.embargo_windows * max(m.close_ns - m.open_ns for m in used)
    return split, Folds(
        market=market,
        settings=settings,
        fold=fold,
        n_folds=n_folds,
        train_windows=len(split.train),
        valid_windows=len(split.valid),
        trained_from_ns=min(m.open_ns for m in used),
        trained_until_ns=until_ns,
        unseen_from_ns=min((by_id[name].open_ns for name in split.test), default=behind_ns),
    )


def open_test(data_dir: Path, dataset_id: str, who: str) -> int:
    """Write down that `who` opens the test fold of `dataset_id`, and return which opening this is (1 = first)."""
    path = data_dir / OPENINGS
    line = {"opened": iso(time.time_ns()), "dataset_id": dataset_id, "by": who}
    before = path.read_text() if path.exists() else ""
    with path.open("a") as log:
        log.write(("" if before.endswith("\n") or not before else "\n") + json.dumps(line) + "\n")
    return 1 + sum(_is_opening(text, dataset_id) for text in before.splitlines())


def _is_opening(line: str, dataset_id: str) -> bool:
    """Whether a line of the log speaks of this dataset; one that a crash cut short counts as an opening."""
    try:
        return json.loads(line)["dataset_id"] == dataset_id
    except (json.JSONDecodeError, KeyError, TypeError):
        return True


def _share(n: int, frac: float) -> int:
    """How many of `n` windows a share asks for: at least one, unless the share is zero."""
    return max(1, round(n * frac)) if frac else 0


def _by_clock_window(markets: Iterable[Market]) -> dict[int, list[Market]]:
    groups: dict[int, list[Market]] = {}
    for market in markets:
        groups.setdefault(market.open_ns, []).append(market)
    return groups


def _cut(by_open: dict[int, list[Market]], opens: list[int], n_valid: int, n_test: int, embargo: int) -> Split:
    test_from = len(opens) - n_test
    valid_to = test_from - (embargo if n_test else 0)
    valid_from = valid_to - n_valid
    train_to = valid_from - (embargo if n_valid else 0)
    if train_to < 1:
        raise UsageError(
            f"{len(opens)} clock windows leave nothing to train on beside {n_valid} validation and {n_test} test "
            f"windows with an embargo of {embargo}. Record more, or lower --valid-frac, --test-frac or "
            "--embargo-windows."
        )
    valid_opens, test_opens = opens[valid_from:valid_to], opens[test_from:]
    train = _purged(by_open, opens[:train_to], [*valid_opens, *test_opens])
    valid = _purged(by_open, valid_opens, test_opens)
    test = tuple(m.market_id for t in test_opens for m in by_open[t])
    kept = {*train, *valid, *test}
    everything = (m.market_id for t in opens for m in by_open[t])
    return Split(train, valid, test, tuple(name for name in everything if name not in kept))


def _purged(by_open: dict[int, list[Market]], opens: list[int], later: list[int]) -> tuple[str, ...]:
    """Keep the windows that have closed when the next fold opens."""
    border = later[0] if later else None
    kept = (m for t in opens for m in by_open[t] if border is None or m.close_ns <= border)
    return tuple(m.market_id for m in kept)
