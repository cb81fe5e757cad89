"""A file that is made once per machine is whole or not there."""

from pathlib import Path

import pytest

from mlx_rl.nn.cache import cached


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mlx-rl"


def test_it_is_made_once_for_each_stamp() -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text(f"number {len(made)}")

    first, again, other = cached("x.so", "a", make), cached("x.so", "a", make), cached("x.so", "b", make)

    assert first == again != other
    assert (first.read_text(), other.read_text()) == ("number 1", "number 2")


def test_what_fails_half_way_leaves_nothing(cache: Path) -> None:
    def breaks(path: Path) -> None:
        path.write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        cached("x.so", "a", breaks)
    assert list(cache.iterdir()) == []
