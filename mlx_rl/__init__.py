"""Learns: features, the money law, the oracle, models, training and judgement."""
