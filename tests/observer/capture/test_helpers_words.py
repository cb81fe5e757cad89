"""What a helper says is in the recorder's log, to its last word."""

import asyncio
import logging
from pathlib import Path

import pytest

from observer.backoff import Backoff
from observer.capture.children import Child
from tests.samples.tiny_venue import until

SAYS = """
import signal, sys, time

def bye(*_):
    print("bye", file=sys.stderr)
    sys.exit(0)

signal.signal(signal.SIGTERM, bye)
print("one\\n\\ntwo", file=sys.stderr)
print("x" * 300_000, file=sys.stderr, flush=True)
sys.stderr.write("ready\\n")
sys.stderr.flush()
time.sleep(60)
"""


def test_what_a_helper_says_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "talker.py").write_text(SAYS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    caplog.set_level(logging.INFO, "observer")

    async def run() -> None:
        running = asyncio.create_task(Child("talker", ("talker",), Backoff()).run())
        await until(lambda: "talker: ready" in caplog.messages, "its words", 10.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())

    words = [text for text in caplog.messages if text.startswith("talker: ")]
    assert (words[:2], words[-2:]) == (["talker: one", "talker: two"], ["talker: ready", "talker: bye"])
    assert sum(text.count("x") for text in words[2:-2]) == 300_000  # a long line comes in parts
