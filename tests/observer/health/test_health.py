"""What the recorder says of itself: honest words, metrics with units, nothing for strangers."""

import copy
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from observer.health import screen as screen_module
from observer.health import server as server_module
from observer.health.screen import Screen, line, picture
from observer.health.server import HealthServer
from observer.health.verdict import complaints
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.s3.status import Status

VENUE = {
    "markets": 2, "books": 4, "books_valid": 4, "streams": 1, "streams_open": 1, "messages": 1000,
    "payload_bytes": 90_000, "events": 1500, "data_age_s": 0.4, "lag_ms": 35.0, "quietest_stream_s": 1.5,
    "gaps": 3, "gaps_open": 0,
    "reconnects": 2, "refused": {"bad number": 1}, "unknown": {}, "closed": {"no data for 15 s": 2},
    "failing": {}, "books_unknown_long": 0, "longest_unknown_s": 59.0,
}  # fmt: skip
WELL: dict[str, Any] = {
    "now": "2026-11-25T12:00:00.000Z", "made_mono_s": float("inf"), "clock_offset_s": 0.0,
    "clock_steps": 0, "ticks": 7200, "tick_rows": 14400,
    "lateness_ms": {"p50": 0.3, "p99": 1.2}, "left_out": {"rows": 0, "age_s": None},
    "rss_mb": 90.0, "venues": {"polymarket": VENUE},
    "spool": {
        "queued_batches": 0, "queued_bytes": 0, "shed_raw": 0, "shed_events": 0, "failure": "",
        "log": {"level": 0, "free_bytes": 50_000_000_000, "bytes_written": 10**7, "fsync_ms_p99": 0.3,
                "durable_wall_ns": 1_795_000_000_000_000_000, "write_errors": 0},
    },
    "helpers": {"compactor": {"starts": 9, "failures": 0, "last_exit": 0}}, "pending_outcomes": 1, "upload": None,
    "compaction": None,
}  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    """A well recorder with one thing different."""
    status = copy.deepcopy(WELL)
    *folders, last = path.split("/")
    place = status
    for folder in folders:
        place = place[folder]
    place[last] = value
    return status


def upload(*, failing_for_s: float = 0.0, silent_for_s: float = 0.0, **changed: Any) -> dict[str, Any]:
    """What an uploader says of itself."""
    now_ns = time.time_ns()
    since_ns = now_ns - round(failing_for_s * NS_PER_S) if failing_for_s else 0
    error = {"code": "Timeout", "text": "no answer", "ns": now_ns}
    status = Status("s3://bucket", "", failing_since_ns=since_ns, last_error=error, **changed)
    return asdict(status) | {"updated_ns": now_ns - round(silent_for_s * NS_PER_S)}


def compaction(*, waiting_bytes: int = 0) -> dict[str, Any]:
    """What a compactor says of itself."""
    return {"updated_ns": time.time_ns(), "failing_since_ns": 0, "last_error": None, "waiting_bytes": waiting_bytes}


def test_a_well_recorder_has_no_complaint() -> None:
    assert complaints(WELL) == []


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("made_mono_s", -1e9, "the recorder hangs: it has said nothing for"),
        ("spool/failure", "EIO", "the disk failed: EIO"),
        ("spool/log/level", 3, "recording is paused"),
        ("spool/log/level", 1, "the disk fills up"),
        ("left_out", {"rows": 7, "age_s": 299.0}, "7 rows were left out so far, the last 299 s ago"),
        ("venues/polymarket/books_unknown_long", 2, "2 books of open markets are unknown, for up to 59 s"),
        ("clock_offset_s", -30.0, "stepped by -30.0 s"),
        ("lateness_ms/p99", 250.0, "ticks are late"),
        ("venues/polymarket/streams_open", 0, "1 of 1 streams are down"),
        ("venues/polymarket/data_age_s", 99.0, "no data for 99 s"),
        ("venues/polymarket/data_age_s", None, "no data yet"),
        ("venues/polymarket/failing", {"discovery": "HTTP 503"}, "discovery fails again and again (HTTP 503)"),
        ("helpers/compactor/failures", 5, "the compactor failed 5 times in a row; it last ended with 0"),
        ("upload", {"oldest_unuploaded_s": 9000.0}, "waits for 2.5 h"),
        ("upload", {"failing_for_s": 301.0}, "upload has failed for 5 minutes: no answer"),
        ("upload", {"silent_for_s": 1801.0}, "upload has said nothing for 30 minutes"),
        ("compaction", {"failing_for_s": 7200.0}, "compaction has failed for 120 minutes"),
    ],
)
def test_what_is_wrong_is_said(path: str, value: Any, says: str) -> None:
    (complaint,) = complaints(changed(path, upload(**value) if path in ("upload", "compaction") else value))

    assert says in complaint


def test_rows_that_were_left_out_long_ago_are_no_complaint_any_more() -> None:
    assert complaints(changed("left_out", {"rows": 7, "age_s": 301.0})) == []


@pytest.fixture
def served() -> Iterator[tuple[HealthServer, list[dict[str, Any]]]]:
    """A server and the box its status is taken from."""
    box = [WELL]
    server = HealthServer(0, lambda: box[0])
    yield server, box
    server.close()


def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Status and body of a GET on the server."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_health_is_200_while_well_and_503_with_the_reason(served: tuple[HealthServer, list]) -> None:
    server, box = served
    code, body = get(server.port, "/health")
    assert (code, json.loads(body)["healthy"]) == (200, True)

    box[0] = changed("spool/failure", "EIO")
    code, body = get(server.port, "/health")
    assert code == 503
    assert json.loads(body)["complaints"] == ["the disk failed: EIO"]

    box[0] = {}
    assert get(server.port, "/health")[0] == 503


def test_metrics_parse_and_carry_the_numbers(served: tuple[HealthServer, list]) -> None:
    code, body = get(served[0].port, "/metrics")
    samples = {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for f in text_string_to_metric_families(body)
        for s in f.samples
    }

    assert code == 200
    assert samples["mlx_rl_observer_messages_total", (("venue", "polymarket"),)] == 1000
    assert samples["mlx_rl_observer_refused_total", (("reason", "bad number"), ("venue", "polymarket"))] == 1
    assert samples["mlx_rl_observer_last_durable_seconds", ()] == 1_795_000_000
    assert samples["mlx_rl_observer_healthy", ()] == 1
    polymarket = (("venue", "polymarket"),)
    assert samples["mlx_rl_observer_data_age_seconds", polymarket] == 0.4
    assert samples["mlx_rl_observer_gaps_total", polymarket] == 3
    assert samples["mlx_rl_observer_reconnects_total", polymarket] == 2
    assert not any(name.startswith("mlx_rl_observer_upload") for name, _ in samples)


def test_metrics_tell_of_trouble_and_of_the_upload(served: tuple[HealthServer, list]) -> None:
    server, box = served
    box[0] = changed("upload", upload(oldest_unuploaded_s=9000.0, uploaded_bytes=7, pruned_bytes=5))
    box[0]["compaction"] = compaction(waiting_bytes=3_000_000)
    _, body = get(server.port, "/metrics")
    samples = {sample.name: sample.value for f in text_string_to_metric_families(body) for sample in f.samples}

    assert samples["mlx_rl_observer_healthy"] == 0
    assert samples["mlx_rl_observer_upload_oldest_unuploaded_s"] == 9000.0
    assert samples["mlx_rl_observer_upload_uploaded_bytes_total"] == 7
    assert samples["mlx_rl_observer_upload_pruned_bytes_total"] == 5
    assert samples["mlx_rl_observer_compaction_waiting_bytes"] == 3_000_000
    assert samples["mlx_rl_observer_pending_outcomes"] == 1


def test_a_venue_that_has_nothing_to_stream_is_not_called_silent() -> None:
    status = changed("venues/polymarket/data_age_s", None)
    status["venues"]["polymarket"] |= {"streams": 0, "streams_open": 0}

    assert complaints(status) == []


def test_it_listens_on_this_machine_only(served: tuple[HealthServer, list]) -> None:
    assert served[0]._server.server_address[0] == "127.0.0.1"


def test_one_that_says_nothing_holds_up_nobody(
    served: tuple[HealthServer, list], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < (server_module._Quiet.timeout or 0) <= 10
    monkeypatch.setattr(server_module._Quiet, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", served[0].port)) as silent:
        assert get(served[0].port, "/health")[0] == 200
        silent.settimeout(5)
        assert silent.recv(1) == b""  # given up


def test_strangers_and_writers_are_turned_away(served: tuple[HealthServer, list]) -> None:
    port = served[0].port
    assert get(port, "/health", Host="evil.example")[0] == 403
    assert get(port, "/health", Host=f"[::1]:{port}")[0] == 403  # it does not listen there
    assert get(port, "/health", Host=f"localhost:{port}")[0] == 200
    assert get(port, "/secrets")[0] == 404
    request = urllib.request.Request(f"http://127.0.0.1:{port}/health", data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    assert refused.value.code == 405
    with pytest.raises(UsageError, match="--health-port"):
        HealthServer(port, dict)


def test_the_terminal_shows_rates_gaps_and_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    status = changed("venues/polymarket/streams_open", 0)
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(picture(status, {"polymarket": (120.0, 55.0)}))
    text = console.export_text()

    assert "polymarket" in text
    assert "120" in text
    assert "streams are down" in text
    narrow = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    status["venues"]["binance-usdm"] = {**VENUE, "gaps": 123, "gaps_open": 10, "reconnects": 1234}
    narrow.print(picture(status, {"binance-usdm": (123_456.0, 12_345.0)}))
    assert "binance-usdm" in narrow.export_text()
    assert "messages/s 120" in line(status, {"polymarket": (120.0, 55.0)})
    with Screen(is_terminal=False) as screen:
        screen.show(status)
    assert capsys.readouterr().err == ""  # a log gets a line a minute, not one at once


def test_a_log_gets_a_line_a_minute_with_rates_per_second(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(screen_module.time, "monotonic", lambda: now[0])
    with Screen(is_terminal=False) as screen:
        for second in range(0, 122, 2):
            now[0] = 1000.0 + second
            screen.show(changed("venues/polymarket/messages", 1000 + 50 * second))

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("messages/s 50 " in text for text in lines)
