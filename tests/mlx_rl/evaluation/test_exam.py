"""What a policy sees in an exam is what it would have seen live, whatever windows the exam leaves out."""

import numpy as np

from mlx_rl.evaluation.exam import make_exam
from mlx_rl.features.kernel import batch_features
from mlx_rl.features.schema import schema_for
from mlx_rl.market.law import LawSettings
from observer.venues.synthetic import SYNTHETIC
from observer.venues.synthetic.lag import LagSettings


def test_a_window_without_an_outcome_still_feeds_the_features_of_later_ones() -> None:
    made = SYNTHETIC["lag"].generate(LagSettings(windows=8, ticks_per_window=300))
    tapes = {tape.market.market_id: tape for tape, _ in made}
    markets = [tape.market for tape in tapes.values()]
    payoffs = dict.fromkeys(tapes, 1.0)
    del payoffs[markets[5].market_id]
    schema = schema_for("state18", reference="underlying")
    exam = make_exam(markets[4:], tapes.__getitem__, payoffs, {}, LawSettings(), everything=markets)

    states = exam.features(schema)
    seen = [state for batch in exam.batches(max_ticks=600) for state in states(batch)]

    live = batch_features(schema, tapes.values())
    assert [m.market_id for m in exam.markets] == [markets[i].market_id for i in (4, 6, 7)]
    assert all(np.array_equal(a, live[i]) for a, i in zip(seen, (4, 6, 7), strict=True))
