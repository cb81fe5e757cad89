"""The level of the disk, entered at the mark and left above it."""

import pytest

from observer.store.filesystem import Space
from observer.store.watermarks import Level, Watermarks

GB = 1 << 30


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [
        (30, 100, Level.OK),
        (20, 100, Level.OK),
        (19.9, 100, Level.WARN),
        (9.9, 100, Level.NO_RAW),
        (4.9, 100, Level.STOPPED),
        (0.6, 2, Level.OK),  # 30 %
        (0.49, 2, Level.STOPPED),  # 24 %, but less than 512 MB
    ],
)
def test_levels_begin_at_their_marks(free: float, total: float, level: Level) -> None:
    assert Watermarks().level(Space(int(total * GB), int(free * GB))) is level


def test_a_level_is_left_only_a_fifth_above_its_mark() -> None:
    marks = Watermarks()
    level = Level.OK
    seen = []
    for free in (4, 5.5, 6.1, 11, 12.1, 19, 21, 25, 19):
        level = marks.level(Space(100 * GB, int(free * GB)), level)
        seen.append(level.name)

    assert seen == ["STOPPED", "STOPPED", "NO_RAW", "NO_RAW", "WARN", "WARN", "WARN", "OK", "WARN"]
