"""state18 and ten entries about the bet itself: its price, its fair value, its strike, its quotes.

Without a known underlying (`reference="own_mid"`, or none recorded) the entries about the strike are 0.
σ is the underlying's volatility over the last hour in fractions per √second, S its price, K the strike, τ the
seconds to the close; `sq(x; s) = x / (s + |x|)`.
"""

from pydantic import Field

from mlx_rl.features.schema import Column, FeatureSchema
from mlx_rl.features.state18 import STATE18_COLUMNS, State18Params


class EdgeParams(State18Params):
    """Parameters of edge: those of state18 and these; all are part of the schema's hash."""

    sigma_floor: float = Field(
        default=1e-5, gt=0, le=1, description="smallest volatility used, fraction per square root of a second"
    )
    sigma_after_s: float = Field(
        default=60.0, gt=0, le=3600, description="seconds of observed moves wanted before the volatility is trusted"
    )
    average_s: float = Field(
        default=60.0,
        gt=0,
        le=900,
        description="seconds before the close over which the settlement averages the underlying",
    )
    strike_grace_s: float = Field(
        default=30.0, gt=0, le=900, description="seconds after the open in which a first price may stand for the strike"
    )
    age_s: float = Field(
        default=1.0, gt=0, description="age of the reference price in seconds that squashes to one half"
    )


_NO_FAIR = "0: strike, price or volatility unknown"

EDGE_COLUMNS: tuple[Column, ...] = (
    *STATE18_COLUMNS,
    Column("market_probability", "2p − 1, p the mid of Up's quotes, else of Down's complement", "probability",
           "0: no quote yet; one-sided: the last mid, moved no further than the quote demands"),
    Column("fair_value", "2Φ(d) − 1, d = ln(S/K)/(σ√τ)", "probability", _NO_FAIR),
    Column("fair_gap", "Φ(d) − p", "probability", _NO_FAIR),
    Column("strike_distance", "sq(d; 1)", "standard deviations", _NO_FAIR),
    Column(
        "settlement_average",
        "sq((M − K)/(Kσ√a); 1), M the average over the last a = average_s seconds before the close if the price "
        "stood still from now",
        "standard deviations",
        _NO_FAIR,
    ),
    Column("staleness", "sq(age of the reference price; age_s)", "s", "1: no price, or older than stale_s"),
    Column("quoted_up_bid", "1 where somebody bids for Up", "flag", "always known"),
    Column("quoted_up_ask", "1 where somebody offers Up", "flag", "always known"),
    Column("quoted_down_bid", "1 where somebody bids for Down", "flag", "always known"),
    Column("quoted_down_ask", "1 where somebody offers Down", "flag", "always known"),
)  # fmt: skip

EDGE = FeatureSchema("edge", EDGE_COLUMNS, EdgeParams.model_validate({}))
