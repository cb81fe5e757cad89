"""Trades: the runner, the A/B router, the journal and the brokers. On paper unless armed."""
