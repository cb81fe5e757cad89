"""The training loop: same seed same run, honest files, a guard that names what broke."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlx_rl.algos.wbc import WBCSettings, WeightedCloning
from mlx_rl.artifact.manifest import BaseArchitecture, TransformerArchitecture
from mlx_rl.models.network import Network, build
from mlx_rl.nn.backend import mx
from mlx_rl.nn.device import training_streams
from mlx_rl.training import loop
from mlx_rl.training.data import Gather
from mlx_rl.training.guard import NotFinite
from mlx_rl.training.inputs import imagine, loss_inputs
from mlx_rl.training.loop import Trained, train
from mlx_rl.training.optimizer import Layout, adamw, rate_at, step_scalars
from mlx_rl.training.run_folder import Position, RunFolder
from mlx_rl.training.settings import TrainSettings
from mlx_rl.training.step import Stepper
from observer.kit.errors import UsageError
from tests.mlx_rl.training.toy import ToyData

SIZES = {"head_dim": 8, "value_dim": 8, "temporal_dim": 8}
BASE = BaseArchitecture(hidden_dim=16, **SIZES)
TRANSFORMER = TransformerArchitecture(seq_len=6, d_model=16, n_heads=2, n_layers=2, d_ff=16, **SIZES)
QUICK = TrainSettings(epochs=3, batch_size=64)


def go(folder: Path, settings: TrainSettings = QUICK, data: ToyData | None = None, **more: Any) -> Trained:
    data = data or ToyData.random(10, 40, 18, 5, seed=0)
    ids = np.arange(400)
    method = WeightedCloning(WBCSettings())
    return train(data, ids[:300], ids[300:], BASE, method, settings, folder, **more)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same(a: Network, b: Network) -> bool:
    return all(np.array_equal(value, b.numpy()[name]) for name, value in a.numpy().items())


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path: Path) -> None:
    a, b = go(tmp_path / "a"), go(tmp_path / "b")
    c = go(tmp_path / "c", QUICK.model_copy(update={"seed": 1}))

    assert same(a.network, b.network)
    assert lines(tmp_path / "a") == lines(tmp_path / "b")
    assert not same(a.network, c.network)


def test_a_rule_in_the_newest_state_is_learnt(tmp_path: Path) -> None:
    data = ToyData.random(60, 40, 18, 5, seed=0)
    data.q[:] = np.where(np.isfinite(data.q), 0, -np.inf)
    edge = data.features[data.row, 0]
    data.q[:, 0, 1], data.q[:, 0, 2] = edge, -edge
    settings = TrainSettings(epochs=6, batch_size=64, learning_rate=3e-3, value_weight=0, forecast_weight=0)
    ids = np.arange(2400)
    made = train(data, ids[:2000], ids[2000:], BASE, WeightedCloning(WBCSettings()), settings, tmp_path / "r")
    batch = Gather(data, 5, 400)(ids[2000:], 0)
    encoded = made.network.encode(mx.array(batch.window), mx.array(batch.is_real))
    logits, _, _ = made.network.heads(mx.array(imagine(batch)[:, 0]), encoded)

    sure = np.abs(edge[2000:]) > 0.1
    assert np.mean((np.array(logits).argmax(-1) == np.where(edge[2000:] > 0, 1, 2))[sure]) > 0.97


@pytest.mark.parametrize("architecture", [BASE, TRANSFORMER])
def test_one_and_two_streams_compute_the_same_step(architecture: BaseArchitecture | TransformerArchitecture) -> None:
    data = ToyData.random(8, 40, 18, architecture.seq_len, seed=0)
    wbc = WeightedCloning(WBCSettings())
    wbc.fit(data, np.arange(320))
    weights = []
    for streams in (1, 2):
        stepper = Stepper(build(architecture, 0), TrainSettings(), streams)
        state = stepper.layout.start(build(architecture, 0).flat())
        for step in range(1, 4):
            batch = Gather(data, architecture.seq_len, 64)(np.arange(64) * step, step)
            state, outcome = stepper(state, loss_inputs(batch, wbc.targets(batch.q)), 1e-3, step)
        weights.append((np.array(state.weights), outcome.parts, outcome.gradient_norm))

    # AdamW's first steps divide by the gradient, so weights whose gradient is all rounding may move differently.
    assert np.allclose(weights[0][1], weights[1][1], atol=1e-6)
    assert weights[0][2] == pytest.approx(weights[1][2], rel=1e-5)
    assert np.quantile(np.abs(weights[0][0] - weights[1][0]), 0.99) <= 1e-6


def test_a_step_decays_and_clips_as_the_settings_say() -> None:
    data, wbc = ToyData.random(8, 40, 18, 5, seed=0), WeightedCloning(WBCSettings())
    batch = Gather(data, 5, 64)(np.arange(64), 1)
    x = loss_inputs(batch, wbc.targets(batch.q))
    stepper = Stepper(build(BASE, 0), TrainSettings(weight_decay=0.3, clip_norm=0.01), 1)
    state = stepper.layout.start(stepper.network.flat())
    _, gradient = stepper.gradient(state.weights, {name: mx.array(a) for name, a in x.items()}, None)
    expected, norm = adamw(state, gradient, step_scalars(1e-2, 4, 0.3), stepper.layout.is_decayed, clip=0.01)
    after, outcome = stepper(state, x, 1e-2, 4)

    assert norm.item() > 0.01
    assert outcome.gradient_norm == pytest.approx(norm.item(), rel=1e-5)
    assert np.allclose(after.weights, expected.weights, atol=1e-6)
    assert np.allclose(after.mean, expected.mean, atol=1e-8)


def test_one_and_two_streams_compute_the_same_gradient() -> None:
    data = ToyData.random(8, 40, 18, 6, seed=0)
    wbc = WeightedCloning(WBCSettings())
    batch = Gather(data, 6, 101)(np.arange(101), 1)  # halves of 50 and 51
    x = loss_inputs(batch, wbc.targets(batch.q))
    stepper = Stepper(build(TRANSFORMER, 0), TrainSettings(), 2)
    vector = stepper.layout.join(stepper.network.flat())
    parts, gradient = stepper.gradient(vector, {name: mx.array(a) for name, a in x.items()}, None)
    in_halves = stepper._in_halves(vector, x, None)

    assert np.allclose(parts, in_halves[0], atol=1e-6)
    assert np.allclose(gradient, in_halves[1], atol=1e-6)


def test_the_number_of_streams_follows_the_size_of_the_step() -> None:
    if mx.default_device() != mx.Device(mx.cpu):
        pytest.skip("on a GPU there is one stream")
    assert training_streams("base", 256) == 1
    assert training_streams("base", 4096) == 2
    assert training_streams("transformer", 64) == 1
    assert training_streams("transformer", 256) == 2


def test_dropout_draws_anew_at_every_step_and_repeats_with_the_step(tmp_path: Path) -> None:
    stepper = Stepper(build(BASE.model_copy(update={"dropout": 0.5})), TrainSettings(dropout=0.5), 1)
    data = ToyData.random(4, 40, 18, 5, seed=0)
    batch = Gather(data, 5, 64)(np.arange(64), 0)
    x = loss_inputs(batch, WeightedCloning(WBCSettings()).targets(batch.q))
    state = stepper.layout.start(stepper.network.flat())
    losses = [stepper(state, x, 0.0, step)[1].parts[0] for step in (1, 2, 1)]

    assert losses[0] == losses[2]
    assert losses[0] != losses[1]


def test_the_step_size_climbs_and_then_falls_to_zero() -> None:
    rates = [rate_at(step, 100, 1e-3, 0.1) for step in range(1, 101)]

    assert rates[0] == pytest.approx(1e-4)
    assert rates[9] == pytest.approx(1e-3)
    assert rates[54] == pytest.approx(5e-4)  # half way down the cosine
    assert rates[99] == pytest.approx(0, abs=1e-12)
    assert np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[9:]) < 0)


def test_decay_spares_biases_and_norms() -> None:
    network = build(BASE)
    layout = Layout(network.flat())
    decayed = layout.split(layout.is_decayed)

    assert {name for name, part in decayed.items() if np.all(np.array(part) == 1)} == {
        name for name in decayed if name.endswith("weight") and ".ln" not in name
    }
    assert all(np.array_equal(v, network.flat()[n]) for n, v in layout.split(layout.join(network.flat())).items())


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    settings = TrainSettings(epochs=60, batch_size=64, learning_rate=0.02, patience=2)
    made = go(tmp_path / "r", settings)

    assert made.metrics["epochs"] == made.metrics["best_epoch"] + 2 < 60
    scores = [line["valid"]["loss"] for line in lines(tmp_path / "r")]
    assert int(np.argmin(scores)) + 1 == made.metrics["best_epoch"]


def test_money_is_asked_for_and_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = QUICK.model_copy(update={"money_every": 2})
    go(tmp_path / "r", settings, validate=lambda network: {"net_usd": 12.5, "oracle_share": 0.25})

    assert [line.get("money") for line in lines(tmp_path / "r")] == [
        None, {"net_usd": 12.5, "oracle_share": 0.25}, {"net_usd": 12.5, "oracle_share": 0.25},
    ]  # fmt: skip
    shown = capsys.readouterr().err
    assert "Epoch 2/3: Loss=" in shown
    assert "Accuracy=" in shown
    assert "net_usd=12.5, oracle_share=0.25" in shown


def test_the_guard_names_the_input_the_step_and_the_batch(tmp_path: Path) -> None:
    data = ToyData.random(10, 40, 18, 5, seed=0)
    data.features[data.row[17], 3] = np.nan

    with pytest.raises(NotFinite, match=r"input window holds NaN or infinity at step \d, batch of 64 samples \["):
        go(tmp_path / "r", data=data)


def test_the_guard_tells_a_broken_loss_from_a_broken_gradient(tmp_path: Path) -> None:
    data = ToyData.random(10, 40, 18, 5, seed=0)
    data.value[:] = 1e30  # finite, but its square is not

    with pytest.raises(NotFinite, match=r"the loss is not finite at step 1, batch of 64 samples"):
        go(tmp_path / "r", data=data)
    data.value[:] = 5e17  # its square is finite, the square of its gradient is not

    with pytest.raises(NotFinite, match="the squared gradient overflows at step 1"):
        go(tmp_path / "q", QUICK.model_copy(update={"value_weight": 30.0}), data=data)


def test_a_validation_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    """A NaN is never below the best loss so far: every later epoch would be thrown away in silence."""
    data = ToyData.random(10, 40, 18, 5, seed=0)
    data.features[data.row[390], 3] = np.nan
    says = r"input window holds NaN or infinity in the validation after epoch 1, batch of 36 validation samples \[364,"

    with pytest.raises(NotFinite, match=says):
        go(tmp_path / "r", data=data)
    data = ToyData.random(10, 40, 18, 5, seed=0)
    data.value[390] = 1e30  # finite, but its square is not

    with pytest.raises(NotFinite, match=r"loss is not finite in the validation after epoch 1"):
        go(tmp_path / "q", data=data)


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path) -> None:
    go(tmp_path / "r")

    with pytest.raises(UsageError, match="already holds a run. Pass --resume to go on"):
        go(tmp_path / "r")


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    go(tmp_path / "r")

    with pytest.raises(UsageError, match="was started with settings = "):
        go(tmp_path / "r", QUICK.model_copy(update={"learning_rate": 0.5}), resume=True)


def test_resuming_a_finished_run_gives_its_model(tmp_path: Path) -> None:
    made = go(tmp_path / "r")
    again = go(tmp_path / "r", resume=True)

    assert same(made.network, again.network)
    assert len(lines(tmp_path / "r")) == 3


def test_a_damaged_checkpoint_sends_the_run_back_to_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = go(tmp_path / "r")
    last = sorted((tmp_path / "r" / "checkpoints").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:100])
    again = go(tmp_path / "r", resume=True)

    assert same(made.network, again.network)
    assert f"{last.name} cannot be read" in capsys.readouterr().err
    assert len(lines(tmp_path / "r")) == 3


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "r", {}, resume=False)
    for step in (3, 7, 12):
        folder.save({"weights": np.zeros(2, np.float32)}, Position(step=step))

    assert [p.name for p in sorted(folder.checkpoints.iterdir())] == [
        "step-0000000007.safetensors", "step-0000000012.safetensors",
    ]  # fmt: skip


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the loop may tidy up after it."""


class SlowSteps:
    """Steps of ten seconds each, by a clock of their own; the process dies before step `die_at`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_s, self.die_at = 0.0, 0
        self.done: list[int] = []
        self.saved: list[tuple[int, int]] = []  # step, step within its epoch
        step_once, save = Stepper.__call__, RunFolder.save

        def step(stepper: Stepper, state: Any, x: Any, rate: float, number: int) -> Any:
            if number == self.die_at:
                raise Killed
            self.now_s += 10
            self.done.append(number)
            return step_once(stepper, state, x, rate, number)

        def keep(folder: RunFolder, tensors: Any, position: Position) -> None:
            save(folder, tensors, position)
            self.saved.append((position.step, position.step_in_epoch))

        patch.setattr(Stepper, "__call__", step)
        patch.setattr(RunFolder, "save", keep)
        patch.setattr(loop.time, "monotonic", lambda: self.now_s)


SLOW = TrainSettings(epochs=2, batch_size=16, checkpoint_s=45, dropout=0.1)  # 300 samples: 18 steps per epoch


def test_within_an_epoch_there_is_a_checkpoint_as_often_as_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowSteps(monkeypatch)
    go(tmp_path / "r", SLOW)

    # Five steps are the first to take more than 45 s; an epoch's end has its own and starts the count anew.
    assert slow.saved == [(5, 5), (10, 10), (15, 15), (18, 0), (23, 5), (28, 10), (33, 15), (36, 0)]


def test_a_run_killed_within_an_epoch_goes_on_from_there_and_not_from_the_epochs_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unbroken = go(tmp_path / "unbroken", SLOW)
    slow = SlowSteps(monkeypatch)
    slow.die_at = 31
    with pytest.raises(Killed):
        go(tmp_path / "r", SLOW)
    slow.die_at = 0
    slow.done.clear()
    resumed = go(tmp_path / "r", SLOW, resume=True)

    assert slow.done == list(range(29, 37))
    assert "resumed at epoch 2, step 28 of 36" in capsys.readouterr().err
    assert same(resumed.network, unbroken.network)
    assert lines(tmp_path / "r") == lines(tmp_path / "unbroken")


def test_a_fold_without_samples_is_refused(tmp_path: Path) -> None:
    data = ToyData.random(2, 10, 18, 5, seed=0)

    with pytest.raises(UsageError, match="the training fold holds no sample"):
        train(data, np.arange(0), np.arange(5), BASE, WeightedCloning(WBCSettings()), QUICK, tmp_path / "r")


def test_every_position_is_imagined_with_its_own_entries() -> None:
    data = ToyData.random(3, 12, 18, 5, seed=0)
    batch = Gather(data, 5, 8)(np.arange(8), 3)
    states = imagine(batch)

    assert np.array_equal(states[:, 0], batch.window[:, -1])
    assert np.array_equal(states[:, 1, 12:15], np.stack([np.ones(8), np.ones(8), batch.pnl[:, 0]], -1).astype("f4"))
    assert np.array_equal(states[:, 2, 12:15], np.stack([np.ones(8), -np.ones(8), batch.pnl[:, 1]], -1).astype("f4"))
    assert np.array_equal(np.delete(states[:, 2], (12, 13, 14), -1), np.delete(states[:, 0], (12, 13, 14), -1))
