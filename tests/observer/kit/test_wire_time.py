"""Times as venues write them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.kit.clock import parse_iso
from observer.kit.wire_time import BadTime, Millis, from_rfc3339


def test_a_time_is_read_to_the_microsecond_whatever_its_digits() -> None:
    wanted = parse_iso("2026-04-07T14:30:00.123456Z")

    assert from_rfc3339("2026-04-07T14:30:00.123456Z") == wanted
    assert from_rfc3339("2026-04-07T14:30:00.123456789Z") == wanted
    assert from_rfc3339("2026-04-07 14:30:00.123456000+00:00") == wanted
    assert from_rfc3339("2026-04-07T14:30:00.1Z") == parse_iso("2026-04-07T14:30:00.1Z")


@pytest.mark.parametrize(
    "text", ["", "soon", "1969-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_what_is_no_time_of_this_trade_is_refused(text: str) -> None:
    with pytest.raises(BadTime):
        from_rfc3339(text)


@given(st.text(max_size=40))
def test_any_text_is_a_time_in_range_or_refused(text: str) -> None:
    try:
        ns = from_rfc3339(text)
    except BadTime:
        return

    assert 0 <= ns < 2**63


@pytest.mark.parametrize("text", ["-1", "4102444800000", "1784851000123000", "1.5", '"1784851000123"', "1e300"])
def test_milliseconds_that_are_none_do_not_decode(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Millis)
