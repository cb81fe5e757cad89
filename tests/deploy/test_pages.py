"""The pages about running the recorder name things that exist."""

import re
from typing import Any

import pytest
from prometheus_client import generate_latest

from observer.health.metrics import registry
from tests.deploy.rendered import ROOT
from tests.observer.health.test_health import WELL, compaction, upload

PAGES = [ROOT / "docs/how-to" / f"{name}.md" for name in ("run-on-ec2", "run-on-a-mac", "watch-the-recorder")]


def test_every_metric_that_an_alert_asks_for_is_served() -> None:
    status = WELL | {"upload": upload(), "compaction": compaction()}
    served = generate_latest(registry(lambda: status)).decode()
    asked = set(re.findall(r"mlx_rl_observer_\w+", (ROOT / "docs/how-to/watch-the-recorder.md").read_text()))

    assert len(asked) > 5
    assert {name for name in asked if not re.search(rf"^{name}[ {{]", served, re.MULTILINE)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_file_that_a_page_names_is_there(page: Any) -> None:
    named = set(re.findall(r"\b(?:deploy|scripts)/[\w./-]+\w", page.read_text()))

    assert {name for name in named if not (ROOT / name).exists()} == set()
