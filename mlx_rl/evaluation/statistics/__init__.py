"""The arithmetic of a verdict: intervals, tests and sample sizes for money and probabilities paired by window.

One rule runs through it: the unit is the clock window, not the tick and not the trade.
"""
