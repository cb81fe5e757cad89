"""Clock, random streams, registry, tables."""

import numpy as np
import pytest

from observer.kit.clock import duration, iso, parse_iso
from observer.kit.console import finite, table
from observer.kit.errors import UsageError
from observer.kit.registry import Registry
from observer.kit.rng import stream


def test_time_is_written_and_read_back_in_utc() -> None:
    assert iso(parse_iso("2025-12-29T13:00:00.250Z")) == "2025-12-29T13:00:00.250Z"
    assert parse_iso("2025-12-29T14:00:00+01:00") == parse_iso("2025-12-29T13:00:00")
    assert parse_iso("1969-12-31T23:59:59Z") == -1_000_000_000


def test_a_span_is_written_for_people() -> None:
    assert [duration(s) for s in (42, 185, 7620)] == ["42s", "3m05s", "2h07m"]


def test_streams_repeat_and_do_not_share_numbers() -> None:
    first = stream(0, "spike", 3).random(4)

    assert np.array_equal(first, stream(0, "spike", 3).random(4))
    assert not np.array_equal(first, stream(0, "spike", 4).random(4))
    assert not np.array_equal(first, stream(1, "spike", 3).random(4))


def test_a_registry_imports_on_demand_and_names_what_it_knows() -> None:
    family = Registry("sum", {"floor": "math:floor", "module": "math", "broken": "no_such_module:x"})

    assert family["floor"](1.5) == 1
    assert family["module"].__name__ == "math"
    with pytest.raises(UsageError, match=r"no sum is called 'ceil'. Known: floor, module, broken"):
        family["ceil"]


def test_numbers_stand_right_and_words_left() -> None:
    assert table([("a", 1.5), ("bb", 10.25)], ("name", "x")).splitlines() == [
        "name      x",
        "----  -----",
        "a       1.5",
        "bb    10.25",
    ]


def test_a_result_is_strict_json() -> None:
    assert finite({"a": np.float64("nan"), "b": (np.int64(3), float("inf")), "c": np.arange(2)}) == {
        "a": None,
        "b": [3, None],
        "c": [0, 1],
    }
