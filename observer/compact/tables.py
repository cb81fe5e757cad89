"""Windows, reference prices, gaps and outcomes into the recording, all or nothing."""

from dataclasses import dataclass
from pathlib import Path

from observer.compact.harvest import Harvest
from observer.compact.pending import Pending
from observer.compact.window import Piece, Told, write_window
from observer.kit.console import say
from observer.kit.errors import BadRecording
from observer.records import UNKNOWN_NS
from observer.store.batch import GapSeen, OutcomeSeen
from observer.store.refusals import ALREADY_OTHER, BREAKS_A_LAW, NO_QUOTE, NO_WINDOW, ImportReport
from observer.store.writer import RecordingWriter

NAME = "observer"  # in the log of what was refused, and as the connection of what was written


@dataclass
class Written:
    """What was added to the recording (see `observer.compact.compactor.Summary`)."""

    windows: int = 0
    ticks: int = 0
    empty: int = 0
    outcomes: int = 0
    gaps: int = 0
    refused: int = 0


def write_tables(root: Path, pending: Pending) -> Written:
    """Write what can be written, and mark it as written once it is.

    Raises:
        BadRecording: the recording is damaged; nothing was written.
        UsageError: somebody else is writing to it.
    """
    done, report = Written(), ImportReport(NAME)
    whole, explained = pending.whole(), pending.told_gaps()
    with RecordingWriter(root, connection=NAME) as writer:
        for market_id, pieces in whole:
            if not writer.holds(market_id):
                is_written = _write_window(writer, report, market_id, pieces, explained.get(market_id, []))
                done.windows += is_written
                done.empty += not is_written
        settled = {market_id for market_id, _ in whole}
        told = [(h, *pending.ready_notes(h, settled)) for h in pending.harvests.values()]
        for harvest, gaps, outcomes in told:
            if not harvest.is_written:
                _write_feeds(writer, report, harvest)
            done.gaps += sum(_write_gap(writer, pending, harvest.run_id, gap) for gap in gaps)
            done.outcomes += sum(_write_outcome(writer, report, outcome) for outcome in outcomes)
        if report.refused:
            writer.write_log(NAME, report.to_dict())
    done.ticks = writer.summary.new_ticks
    done.refused = sum(count for places in report.refused.values() for count in places.values())
    pending.settle(settled)
    for harvest, gaps, outcomes in told:
        harvest.is_written, harvest.prices, harvest.feed_trades = True, {}, {}
        harvest.gaps = [gap for gap in harvest.gaps if gap not in gaps]
        harvest.outcomes = [outcome for outcome in harvest.outcomes if outcome not in outcomes]
    return done


def _write_window(
    writer: RecordingWriter, report: ImportReport, market_id: str, pieces: list[Piece], gaps: list[Told]
) -> bool:
    """Write one window, or count why not."""
    of_window = ImportReport(NAME)
    of_window.seen["window"] = 1
    is_written = False
    try:
        is_written = write_window(writer, of_window, pieces, gaps)
        if not is_written:
            of_window.refuse("window", NO_QUOTE, market_id)
    except BadRecording as error:
        say(f"left out, its frames are in raw/: {error}")
        ticks = sum(packed.ticks for piece in pieces for packed in piece.ticks)
        of_window = ImportReport(NAME)
        of_window.seen.update(window=1, tick=ticks)
        of_window.refuse("window", BREAKS_A_LAW, market_id)
        of_window.refuse("tick", BREAKS_A_LAW, market_id, ticks)
    of_window.kept["window"] += is_written
    report.add(of_window)
    return is_written


def _write_feeds(writer: RecordingWriter, report: ImportReport, harvest: Harvest) -> None:
    """Write a segment's reference prices, and the trades of its underlyings, unless they are there already."""
    for (symbol, source), prices in harvest.prices.items():
        n = len(prices.recv_ns)
        report.seen["reference"] += n
        venue_ns = None if (prices.venue_ns == UNKNOWN_NS).all() else prices.venue_ns
        try:
            writer.write_reference(symbol, source, prices.recv_ns, venue_ns, prices.price)
            report.kept["reference"] += n
        except BadRecording as error:
            say(f"left out: {error}")
            report.refuse("reference", ALREADY_OTHER, f"{source}:{symbol}", n)
    for (instrument, source), trades in harvest.feed_trades.items():
        report.seen["trade"] += len(trades)
        try:
            writer.write_trades(instrument, source, trades)
            report.kept["trade"] += len(trades)
        except BadRecording as error:
            say(f"left out: {error}")
            report.refuse("trade", ALREADY_OTHER, instrument, len(trades))


def _write_gap(writer: RecordingWriter, pending: Pending, run_id: str, gap: GapSeen) -> int:
    """Write a gap into each window that it touches and that is there."""
    n = 0
    for market, start_ns, end_ns in pending.gaps_of(run_id, gap):
        if writer.holds(market.market_id):
            writer.write_gap(market.market_id, start_ns, end_ns, gap.reason)
            n += 1
    return n


def _write_outcome(writer: RecordingWriter, report: ImportReport, outcome: OutcomeSeen) -> bool:
    """Write how a market ended, if its window is there."""
    report.seen["outcome"] += 1
    if not writer.holds(outcome.market_id):
        report.refuse("outcome", NO_WINDOW, outcome.market_id)
        return False
    try:
        writer.write_outcome(outcome.market_id, outcome.payoff_up, outcome.kind, outcome.source)
    except BadRecording as error:
        say(f"left out: {error}")
        report.refuse("outcome", ALREADY_OTHER, outcome.market_id)
        return False
    report.kept["outcome"] += 1
    return True
