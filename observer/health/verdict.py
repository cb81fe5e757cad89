"""Is the recorder well? The complaints, in words a person can act on; none means it is."""

import time
from typing import Any

STALE_S = 15.0  # a status is made each second
SILENT_S = 30.0
CLOCK_S = 1.0
LATE_MS = 100.0
LEFT_OUT_S = 300.0  # rows that were left out are complained about for so long
UPLOAD_S = 2 * 3600.0
RESTARTS = 3


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
    upload = status.get("upload")
    if upload is not None and upload["oldest_unuploaded_s"] > UPLOAD_S:
        found.append(f"upload is behind: the oldest file waits for {upload['oldest_unuploaded_s'] / 3600:.1f} h")
    return found
