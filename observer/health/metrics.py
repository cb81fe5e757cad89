"""The recorder's status as Prometheus metrics. Names carry their unit; labels come from bounded tables."""

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from observer.health.verdict import complaints, failing_for_s

_PREFIX = "mlx_rl_observer"

# (name, help, path into the status)
_GAUGES = (
    ("lateness_p50_ms", "tick lateness, median of twenty minutes", ("lateness_ms", "p50")),
    ("lateness_p99_ms", "tick lateness, 99th percentile of twenty minutes", ("lateness_ms", "p99")),
    ("clock_offset_seconds", "wall clock minus the recorder's clock", ("clock_offset_s",)),
    ("memory_peak_mb", "peak resident memory", ("rss_mb",)),
    ("spool_queued_bytes", "bytes that wait for the disk", ("spool", "queued_bytes")),
    ("fsync_p99_ms", "fdatasync, 99th percentile", ("spool", "log", "fsync_ms_p99")),
    ("disk_free_bytes", "free on the recording's disk", ("spool", "log", "free_bytes")),
    ("disk_level", "0 ok, 1 warn, 2 no raw frames, 3 stopped", ("spool", "log", "level")),
    ("last_durable_seconds", "time of the last batch that survives a power cut", ("spool", "log", "durable_wall_ns")),
    ("pending_outcomes", "markets whose outcome is to come", ("pending_outcomes",)),
)
_COUNTERS = (
    ("ticks", "ticks taken", ("ticks",)),
    ("tick_rows", "rows of ticks", ("tick_rows",)),
    ("clock_steps", "times the wall clock jumped", ("clock_steps",)),
    ("log_bytes", "bytes written to the log", ("spool", "log", "bytes_written")),
    ("write_errors", "short writes and times the disk was full", ("spool", "log", "write_errors")),
    ("shed_raw_rows", "raw frames left out because the disk was slow", ("spool", "shed_raw")),
    ("shed_event_rows", "events left out because the disk was slow", ("spool", "shed_events")),
)
_VENUE_GAUGES = (
    "markets",
    "books",
    "books_valid",
    "books_unknown_long",
    "streams",
    "streams_open",
    "lag_ms",
    "gaps_open",
    "quietest_stream_s",
)
_VENUE_COUNTERS = ("messages", "payload_bytes", "events", "gaps", "reconnects")
_VENUE_TABLES = {"refused": "reason", "unknown": "event", "closed": "reason"}
_UPLOAD_GAUGES = ("pending_files", "pending_bytes", "oldest_unuploaded_s")
_UPLOAD_COUNTERS = ("uploaded_files", "uploaded_bytes", "pruned_files", "pruned_bytes")


class StatusCollector(Collector):
    """Turns the newest status into metrics at each scrape.

    Args:
        read: returns the newest status.
    """

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        status = self._read()
        if not status:
            return
        for name, text, path in _GAUGES:
            scale = 1e-9 if name == "last_durable_seconds" else 1.0
            yield GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=_at(status, path) * scale)
        for name, text, path in _COUNTERS:
            yield CounterMetricFamily(f"{_PREFIX}_{name}", text, value=_at(status, path))
        yield GaugeMetricFamily(f"{_PREFIX}_healthy", "1 where nothing is wrong", value=not complaints(status))
        yield from self._venues(status["venues"])
        yield self._helpers(status)
        compaction, upload = status["compaction"], status["upload"]
        if compaction is not None:
            text = "bytes of sealed segments that are not compacted yet, or kept for open windows"
            yield GaugeMetricFamily(f"{_PREFIX}_compaction_waiting_bytes", text, value=compaction["waiting_bytes"])
        if upload is not None:
            for name in _UPLOAD_GAUGES:
                yield GaugeMetricFamily(f"{_PREFIX}_upload_{name}", name.replace("_", " "), value=upload[name])
            for name in _UPLOAD_COUNTERS:
                yield CounterMetricFamily(f"{_PREFIX}_upload_{name}", name.replace("_", " "), value=upload[name])

    def _helpers(self, status: dict[str, Any]) -> Metric:
        failing = GaugeMetricFamily(f"{_PREFIX}_failing_seconds", "0 while its last pass went well", labels=["helper"])
        for what in ("upload", "compaction"):
            if status[what] is not None:
                failing.add_metric([what], failing_for_s(status[what]))
        return failing

    def _venues(self, venues: dict[str, dict[str, Any]]) -> Iterator[Metric]:
        for name in _VENUE_GAUGES:
            gauge = GaugeMetricFamily(f"{_PREFIX}_{name}", name.replace("_", " "), labels=["venue"])
            for venue, numbers in venues.items():
                gauge.add_metric([venue], numbers[name])
            yield gauge
        age = GaugeMetricFamily(f"{_PREFIX}_data_age_seconds", "since the last data", labels=["venue"])
        for venue, numbers in venues.items():
            if numbers["data_age_s"] is not None:
                age.add_metric([venue], numbers["data_age_s"])
        yield age
        for name in _VENUE_COUNTERS:
            counter = CounterMetricFamily(f"{_PREFIX}_{name}", name.replace("_", " "), labels=["venue"])
            for venue, numbers in venues.items():
                counter.add_metric([venue], numbers[name])
            yield counter
        for name, label in _VENUE_TABLES.items():
            counter = CounterMetricFamily(f"{_PREFIX}_{name}", f"{name}, by {label}", labels=["venue", label])
            for venue, numbers in venues.items():
                for reason, n in numbers[name].items():
                    counter.add_metric([venue, reason], n)
            yield counter


def registry(read: Callable[[], dict[str, Any]]) -> CollectorRegistry:
    """A registry that holds the recorder's metrics and nothing else."""
    made = CollectorRegistry()
    made.register(StatusCollector(read))
    return made


def _at(status: dict[str, Any], path: tuple[str, ...]) -> float:
    value: Any = status
    for key in path:
        value = value[key]
    return float(value)
