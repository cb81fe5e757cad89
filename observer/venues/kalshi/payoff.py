"""What a Kalshi market paid, as the venue says it.

A binary market pays 1 or 0 per yes contract, or is settled at a price between ("scalar") when its rules cannot
decide. Of those prices only 0.5 is a payoff that this project's money law knows; any other is not rounded to one.
"""

from observer.kit.decimals import SCALE, BadNumber, scaled

_PAYOFFS = {0: 0.0, SCALE // 2: 0.5, SCALE: 1.0}
_RESULTS = {"yes": SCALE, "no": 0}


def payoff_up(result: str, settlement_value: str) -> float | None:
    """USD per yes contract: 1, 0 or 0.5; None where the venue has not said, contradicts itself, or says another price.

    Args:
        result: "yes", "no", "scalar" or "".
        settlement_value: decimal text, or "" where it was not sent.
    """
    try:
        value = scaled(settlement_value) if settlement_value else None
    except BadNumber:
        return None
    if result == "scalar":
        return None if value is None else _PAYOFFS.get(value)
    said = _RESULTS.get(result)
    if said is None or value not in (None, said):
        return None
    return _PAYOFFS[said]
