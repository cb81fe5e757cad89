"""Brokers: where orders go. One file and one line here for each."""

from observer.kit.registry import Registry

BROKERS = Registry("broker", {"paper": "live.brokers.paper:PaperBroker"})
