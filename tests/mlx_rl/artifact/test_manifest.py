"""The manifest's arithmetic: which weights an architecture has."""

import math

import pytest
from pydantic import ValidationError

from mlx_rl.artifact.manifest import PRESETS, TransformerArchitecture, preset, weight_shapes


def test_default_transformer_has_the_parameters_counted_by_hand() -> None:
    # input 18*64+64 = 1216
    # per layer: ln1 128, q k v 3*4096, out 4160, ln2 128, ff1 16640, ff2 16448 = 49792; twice 99584
    # ln_final 128, output 64*32+32 = 2080; encoder 103008
    # policy on 50: fc1 3264, ln 128, fc2 4160, ln 128, out 195 = 7875
    # value on 50: fc1 4896, ln 192, fc2 9312, ln 192, out 97 = 14689; forecast 51; all 125623
    shapes = weight_shapes(preset("transformer"))

    assert sum(math.prod(shape) for shape in shapes.values()) == 125_623


def test_default_base_has_the_parameters_counted_by_hand() -> None:
    # fc1 90*64+64 = 5824, ln1 128, fc2 64*32+32 = 2080, ln2 64: 8096; heads as above 7875 + 14689 + 51
    shapes = weight_shapes(preset("base"))

    assert sum(math.prod(shape) for shape in shapes.values()) == 30_711


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, table in PRESETS.items() for name in table])
def test_every_preset_is_an_architecture(kind: str, name: str) -> None:
    made = preset(kind, name, n_features=24)

    assert made.n_features == 24
    assert made.temporal_dim == PRESETS[kind][name]["temporal_dim"]


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match="d_model 64 is not a multiple of n_heads 5"):
        TransformerArchitecture(n_heads=5)
