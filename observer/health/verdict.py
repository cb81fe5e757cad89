"""Is the recorder well? The complaints, in words a person can act on; none means it is."""

import time
from typing import Any

from observer.kit.clock import NS_PER_S

STALE_S = 15.0  # a status is made each second
SILENT_S = 30.0
CLOCK_S = 1.0
LATE_MS = 100.0
LEFT_OUT_S = 300.0  # rows that were left out are complained about for so long
UPLOAD_S = 2 * 3600.0
RESTARTS = 3
FAILING_S = 300.0  # a helper whose passes have all failed for so long
HUNG_S = 1800.0  # a helper's passes take seconds, the first after a long pause some minutes


def complaints(status: dict[str, Any]) -> list[str]:
    """What is wrong with the recorder whose `status` this is (`observer.capture.daemon.Daemon.status`)."""
    found: list[str] = []
    spool, log = status["spool"], status["spool"]["log"]
    age_s = time.monotonic() - status["made_mono_s"]
    if age_s > STALE_S:
        found.append(f"the recorder hangs: it has said nothing for {age_s:.0f} s")
    if spool["failure"]:
        found.append(f"the disk failed: {spool['failure']}")
    if log["level"] >= 3:
        found.append(f"recording is paused: {log['free_bytes'] / 1e9:.1f} GB are free; make room")
    elif log["level"] >= 1:
        found.append(f"the disk fills up: {log['free_bytes'] / 1e9:.1f} GB are free")
    left_out = status["left_out"]
    if left_out["age_s"] is not None and left_out["age_s"] <= LEFT_OUT_S:
        found.append(
            f"the disk was too slow or too full: {left_out['rows']} rows were left out so far, "
            f"the last {left_out['age_s']:.0f} s ago"
        )
    if abs(status["clock_offset_s"]) > CLOCK_S:
        found.append(f"the wall clock was stepped by {status['clock_offset_s']:+.1f} s; restart to adopt it")
    if status["lateness_ms"]["p99"] > LATE_MS:
        found.append(f"ticks are late: p99 {status['lateness_ms']['p99']:.0f} ms")
    if not any(venue["markets"] or venue["streams"] for venue in status["venues"].values()):
        found.append("nothing is recorded: no venue lists a market or a feed that --markets asks for")
    for name, venue in status["venues"].items():
        if venue["streams_open"] < venue["streams"]:
            found.append(f"{name}: {venue['streams'] - venue['streams_open']} of {venue['streams']} streams are down")
        if venue["streams"] and (venue["data_age_s"] is None or venue["data_age_s"] > SILENT_S):
            age = "no data yet" if venue["data_age_s"] is None else f"no data for {venue['data_age_s']:.0f} s"
            found.append(f"{name}: {age}")
        if n_unknown := venue["books_unknown_long"]:
            longest_s = venue["longest_unknown_s"]
            found.append(f"{name}: {n_unknown} books of open markets are unknown, for up to {longest_s:.0f} s")
        found += [f"{name}: {what} fails again and again ({why})" for what, why in venue["failing"].items()]
    for name, helper in status["helpers"].items():
        if helper["failures"] >= RESTARTS:
            found.append(
                f"the {name} failed {helper['failures']} times in a row; it last ended with {helper['last_exit']}"
            )
    for what in ("upload", "compaction"):
        found += _of_helper(what, status[what])
    upload = status["upload"]
    if upload is not None and upload["oldest_unuploaded_s"] > UPLOAD_S:
        found.append(f"upload is behind: the oldest file waits for {upload['oldest_unuploaded_s'] / 3600:.1f} h")
    return found


def _of_helper(what: str, report: dict[str, Any] | None) -> list[str]:
    """What a helper says of itself, where it says anything: that it fails, or nothing any more."""
    if report is None:
        return []
    failing_s, silent_s = failing_for_s(report), (time.time_ns() - report["updated_ns"]) / NS_PER_S
    if failing_s > FAILING_S:
        return [f"{what} has failed for {failing_s / 60:.0f} minutes: {report['last_error']['text']}"]
    return [f"{what} has said nothing for {silent_s / 60:.0f} minutes"] if silent_s > HUNG_S else []


def failing_for_s(report: dict[str, Any]) -> float:
    """For how long a helper has failed; 0 where its last pass went well."""
    return (time.time_ns() - report["failing_since_ns"]) / NS_PER_S if report["failing_since_ns"] else 0.0
