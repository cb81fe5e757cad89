"""Torch twins of the trained models, and the one self-contained file a receiver gets."""

from observer.kit.registry import Registry

TWINS = Registry("twin", {"base": "export.twins.base:build", "transformer": "export.twins.transformer:build"})
