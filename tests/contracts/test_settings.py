"""No setting takes a number that is none: "inf" and "nan" parse as floats, and pass every bound that is not `le`."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import pytest
from pydantic import BaseModel, ValidationError

import export
import live
import mlx_rl
import observer
from observer.capture.settings import ObserveSettings

# Written by ourselves into a run's folder: the best loss before the first validation is infinite.
MAY_BE_INFINITE = {"Position"}


def models() -> Iterator[type[BaseModel]]:
    """Every pydantic class of ours, by importing all there is."""
    packages = (observer, mlx_rl, live, export)
    names = {package.__name__ for package in packages}
    for package in packages:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    waiting = [BaseModel]
    while waiting:
        for model in waiting.pop().__subclasses__():
            waiting.append(model)
            if model.__module__.partition(".")[0] in names:
                yield model


def test_every_model_with_a_float_refuses_what_is_no_finite_number() -> None:
    with_floats = [m for m in models() if any("float" in str(field.annotation) for field in m.model_fields.values())]

    assert len(with_floats) >= 30
    lax = {m.__name__ for m in with_floats if m.model_config.get("allow_inf_nan") is not False}
    assert lax == MAY_BE_INFINITE


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
def test_a_recording_of_no_length_at_all_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        ObserveSettings.model_validate({"duration": value})
