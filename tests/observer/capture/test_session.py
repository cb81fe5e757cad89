"""From flags to a run: what the helpers, the spool and the grid are told, and what an exchange's word is worth."""

import asyncio
import json
import math
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from observer.backoff import Backoff
from observer.capture import session
from observer.capture.children import Child
from observer.capture.session import _children, _upload_args, clock_of, outcome_kind_of, record, selection_of
from observer.capture.settings import ObserveSettings
from observer.compact.__main__ import LoopSettings
from observer.kit.cli import parse
from observer.kit.clock import NS_PER_S
from observer.kit.errors import UsageError
from observer.s3.__main__ import UploadSettings
from observer.venues.kalshi.signing import KEY_FILE, KEY_ID, KEY_TEXT
from tests.samples.one_answer import serving


def test_the_helpers_understand_what_they_are_told(tmp_path: Path) -> None:
    bare, full = ObserveSettings(local_dir=tmp_path), ObserveSettings(
        local_dir=tmp_path, s3_bucket="b", s3_prefix="p", s3_endpoint_url="http://127.0.0.1:1"
    )  # fmt: skip
    (compactor,) = _children(bare)
    assert compactor.args[0] == "observer.compact"
    assert parse(LoopSettings, list(compactor.args[1:]), prog="", about="").local_dir == tmp_path

    _, uploader = _children(full)
    told = parse(UploadSettings, list(uploader.args[1:]), prog="", about="")
    assert (uploader.name, uploader.args[0]) == ("uploader", "observer.s3")
    assert (told.local_dir, told.bucket, told.prefix) == (tmp_path, "b", "p")
    assert told.endpoint_url == "http://127.0.0.1:1"
    assert told.keep_local_days == 7.0


@pytest.mark.parametrize("days", [0.0, 0.5, math.inf])
def test_the_uploader_is_told_how_long_to_keep_what_it_has_uploaded(days: float) -> None:
    args = _upload_args(ObserveSettings(s3_bucket="b", keep_local_days=days), "b")

    assert parse(UploadSettings, list(args[1:]), prog="", about="").keep_local_days == days
    assert UploadSettings(local_dir=Path("d"), bucket="b").keep_local_days is None  # by itself it deletes nothing


@pytest.mark.parametrize("days", [-1.0, math.nan])
def test_a_keep_time_is_a_number_of_days(days: float) -> None:
    with pytest.raises(ValueError, match="keep_local_days"):
        ObserveSettings(keep_local_days=days)


def test_no_helper_is_handed_the_venue_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEY_ID, KEY_TEXT, KEY_FILE, "CREDENTIALS_DIRECTORY", "AWS_PROFILE"):
        monkeypatch.setenv(name, f"secret of {name}")

    async def once() -> None:
        await Child("printer", ("os",), Backoff())._once()  # any module that ends

    started: list[dict[str, str]] = []
    start = asyncio.create_subprocess_exec

    async def spy(*command: str, env: dict[str, str], **options: Any) -> Any:
        started.append(env)
        return await start(*command, env=env, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", spy)
    monkeypatch.setattr(session, "run_errands", lambda steps, environment: started.append(environment) or [])
    asyncio.run(once())
    session._bring_home(ObserveSettings())

    assert len(started) == 2
    assert [{name for name in env if "secret of" in env[name]} for env in started] == [{"AWS_PROFILE"}] * 2


def test_durability_and_spacing_reach_the_spool_and_the_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    def spool(*_: Any, **settings: Any) -> SimpleNamespace:
        told.update(settings)
        return SimpleNamespace(close=lambda timeout_s: None)

    def daemon(*_: Any, **settings: Any) -> None:
        told.update(settings)
        raise UsageError("that is enough")

    monkeypatch.setattr(session, "Spool", spool)
    monkeypatch.setattr(session, "Daemon", daemon)
    with pytest.raises(UsageError, match="enough"):
        record(ObserveSettings(local_dir=tmp_path / "data", venues=("kraken",), durability="tick", tick=0.25))

    assert (told["durability"], told["tick_ns"]) == ("tick", NS_PER_S // 4)
    assert told["pending"] == tmp_path / "data" / "spool" / "pending.json"


def test_a_health_port_that_is_taken_leaves_no_run_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"--health-port {port}"):
            record(ObserveSettings(local_dir=tmp_path / "data", venues=("kraken",), health_port=port))

    assert list((tmp_path / "data" / "spool").iterdir()) == []
    assert "spool" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("outcomes", "kind"), [("inferred", "inferred"), ("synthetic", "synthetic"), ("?", "synthetic")]
)
def test_no_outcome_that_an_exchange_of_ours_tells_is_official(
    outcomes: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_told_by", lambda exchange: {"outcomes": outcomes})

    assert outcome_kind_of("http://127.0.0.1:1") == kind
    assert outcome_kind_of("") == "official"


def test_an_exchanges_clock_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_told_by", lambda exchange: {"now_ns": 5, "mono_ns": 7, "speed": 30})

    clock = clock_of("http://127.0.0.1:1")
    assert (clock.anchor.wall_ns, clock.anchor.mono_ns, clock.speed) == (5, 7, 30.0)
    assert clock.is_virtual
    assert not clock_of("").is_virtual


@pytest.mark.parametrize("answer", [{"now_ns": 1}, ["now_ns"], 7, "no JSON"])
def test_something_else_that_answers_is_no_exchange(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    body = answer if answer == "no JSON" else json.dumps(answer)
    reply = httpx.Response(200, text=body, request=httpx.Request("GET", "http://127.0.0.1:1/clock"))
    monkeypatch.setattr(session.httpx, "get", lambda *_, **__: reply)

    with pytest.raises(UsageError, match="no loopback exchange answers there"):
        clock_of("http://127.0.0.1:1")


def test_markets_are_words_in_any_case_and_all_is_every_one() -> None:
    assert selection_of("BTC, crypto ,").words == ("btc", "crypto")
    assert selection_of("btc,all").words == ()


def test_an_exchange_is_asked_without_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"now_ns": 5, "mono_ns": 7, "speed": 30, "outcomes": "synthetic"}
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    with serving(json.dumps(told).encode()) as url:
        assert clock_of(url).speed == 30.0
