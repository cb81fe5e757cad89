"""Decimal text is exact, and a book is what a table of its levels would be."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.book import ASK, BID, Book
from observer.kit.decimals import SCALE, BadNumber, scaled, signed, text_of


@given(st.decimals(min_value=0, max_value=9_000_000_000, places=9, allow_nan=False))
def test_a_decimal_is_its_integer_of_billionths(value: Decimal) -> None:
    assert scaled(f"{value:f}") == int(value * SCALE)
    assert Decimal(text_of(int(value * SCALE))) == value


@pytest.mark.parametrize(
    ("text", "billionths"),
    [("0.52", 520_000_000), ("95.5", 95_500_000_000), ("0", 0), ("1.", None), (".5", 500_000_000), ("007", 7 * SCALE),
     ("0.1234567890000", 123_456_789), ("0.1234567891", None), ("-1", None), ("+1", None), ("1e3", None),
     ("NaN", None), ("Infinity", None), ("", None), (".", None), (" 1", None), ("1_000", None), ("٣", None),
     ("9223372036.9", None), ("1" * 40, None), ("0x10", None), ("1.2.3", None)],
)  # fmt: skip
def test_only_plain_decimals_are_numbers(text: str, billionths: int | None) -> None:
    if billionths is None:
        with pytest.raises(BadNumber):
            scaled(text)
    else:
        assert scaled(text) == billionths


def test_a_change_may_be_negative() -> None:
    assert signed("-54.00") == -54 * SCALE
    with pytest.raises(BadNumber):
        signed("--1")


_PRICE = st.integers(1, 12)
_STEP = st.one_of(
    st.tuples(st.just("set"), st.sampled_from([BID, ASK]), _PRICE, st.integers(0, 3)),
    st.tuples(
        st.just("replace"), st.dictionaries(_PRICE, st.integers(0, 3)), st.dictionaries(_PRICE, st.integers(0, 3))
    ),
    st.tuples(st.just("truncate"), st.integers(1, 4)),
    st.tuples(st.just("invalidate")),
)


@given(st.lists(_STEP, max_size=40))
def test_a_book_is_the_table_of_its_levels(steps: list[tuple]) -> None:
    book, tables = Book(), [{}, {}]
    for step in steps:
        version = book.version
        if step[0] == "set":
            _, side, price, size = step
            book.set(side, price, size)
            tables[side].pop(price, None)
            if size:
                tables[side][price] = size
        elif step[0] == "replace":
            book.replace(step[1].items(), step[2].items())
            tables = [{p: s for p, s in levels.items() if s} for levels in step[1:]]
        elif step[0] == "truncate":
            book.truncate(step[1])
            tables = [
                {p: tables[side][p] for p in sorted(tables[side], reverse=side == BID)[: step[1]]}
                for side in (BID, ASK)
            ]
        else:
            book.invalidate()
            tables = [{}, {}]

        assert book.holds([*tables[BID].items(), (99, 0)], tables[ASK].items())
        assert not book.holds(tables[BID].items(), [*tables[ASK].items(), (99, 1)])
        assert not book.holds([(99, 1)], tables[ASK].items())
        best_first = [sorted(tables[BID].items(), reverse=True), sorted(tables[ASK].items())]
        for side in (BID, ASK):
            assert book.top(side, 3) == best_first[side][:3]
            assert book.top(side, 99) == best_first[side]
            assert book.best(side) == (best_first[side][0][0] if best_first[side] else 0)
        assert step[0] == "truncate" or book.version > version
