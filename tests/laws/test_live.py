"""Laws of live: deciding tick by tick is deciding in batch, paper money is evaluated money, no future, no outcome."""

from pathlib import Path

import numpy as np
import pytest

from export.numpy_forward import NumpyPolicy
from live.arms import ArmSpec, rule_arm
from live.decide import PolicyArm
from live.journal import read
from live.runner import PaperSettings, run_paper
from mlx_rl.evaluation.rollout import Play, encode_windows, lock_step, play_policy
from mlx_rl.features.kernel import batch_features
from mlx_rl.features.schema import schema_for
from mlx_rl.market.fills import price_fills
from mlx_rl.market.law import LawSettings
from mlx_rl.strategies.contract import build
from observer.importers.job import bring_in
from observer.records import Tape
from observer.samples import sample
from observer.store.reader import Recording
from observer.venues.fees import BY_NAME
from tests.samples.model_folder import make_policy
from tests.samples.recordings import record
from tests.samples.tapes import make_tape

FEES = BY_NAME["polymarket-crypto-v1"]
LAWS = {
    "default": LawSettings(size_shares=20),
    "late": LawSettings(size_shares=20, latency_s=1.3, fills="pessimistic"),
}


def tapes() -> list[tuple[Tape, float]]:
    """Four windows in a row with missing quotes, uneven ticks, one with recorded depth."""
    return [
        (make_tape(11, 220, index=i, fees=FEES, missing_frac=0.04, ladder=i == 1), (1.0, 0.0, 0.5, 1.0)[i])
        for i in range(4)
    ]


def policy_spec(kind: str, policy: NumpyPolicy | None = None) -> ArmSpec:
    policy = policy or make_policy(kind, "small")
    return ArmSpec(kind, lambda: PolicyArm(policy), {"name": kind, "kind": "policy"})


def paper(root: Path, arms: list[ArmSpec], journal: Path, law: LawSettings, **settings: object) -> dict:
    return run_paper(arms, PaperSettings(data_dir=root, journal=journal, law=law, **settings))


def lines(journal: Path, kind: str) -> list[dict]:
    return [r for r in read(journal) if r["kind"] == kind]


def assert_same_as_rollout(journal: Path, arm: str, play: Play, ids: list[str]) -> None:
    """Every action, position and money part of a journal equals the batch rollout's, window by window."""
    all_ticks, all_settled = lines(journal, "tick"), lines(journal, "settle")
    for w, market_id in enumerate(ids):
        ticks = [r for r in all_ticks if r["market"] == market_id]
        settled = next(r for r in all_settled if r["market"] == market_id)

        assert [r["arms"][arm]["action"] for r in ticks] == play.actions[w].tolist()
        assert [("flat", "up", "down").index(r["position"]) for r in ticks] == play.positions[w].tolist()
        assert [r["pending"] is None for r in ticks] == play.is_free[w].tolist()
        assert settled["net_usd"] == play.ledger["net"][w]
        for part in ("gross", "spread", "fees", "slippage", "trades", "turnover_usd", "held_to_settlement"):
            assert settled["waterfall"][part] == play.ledger[part][w]


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("kind", ["base", "transformer"])
def test_live_decisions_and_money_equal_the_batch_rollout(kind: str, law: LawSettings, tmp_path: Path) -> None:
    made = tapes()
    root = record(tmp_path / "data", made)
    policy = make_policy(kind, "small")
    recorded = list(Recording(root).tapes())
    fills = [price_fills(tape, law) for tape in recorded]
    play = play_policy(
        policy, encode_windows(policy, batch_features(policy.schema, recorded)), fills, [p for _, p in made]
    )

    made_here = paper(root, [policy_spec(kind)], tmp_path / "j", law)

    assert made_here["fills"] > 20  # the comparison is about something
    assert_same_as_rollout(tmp_path / "j", kind, play, [t.market.market_id for t in recorded])


@pytest.mark.parametrize("name", ["random", "mean_revert", "momentum", "fade_spike", "gating", "fair_value"])
def test_a_rule_trades_on_paper_as_it_does_in_evaluation(name: str, tmp_path: Path) -> None:
    made = tapes()
    root = record(tmp_path / "data", made)
    recorded = list(Recording(root).tapes())
    rules = [build(name) for _ in recorded]
    for rule, tape in zip(rules, recorded, strict=True):
        rule.start(tape.market)

    def decide(t: int, is_open: np.ndarray, accounts: object, mask: np.ndarray) -> np.ndarray:
        return np.array(
            [
                rules[w].act(int(recorded[w].recv_ns[t]), recorded[w].rows[t], None, accounts.position[w], mask[i])
                for i, w in enumerate(is_open)
            ]
        )

    law = LAWS["default"]
    play = lock_step([price_fills(tape, law) for tape in recorded], [p for _, p in made], decide)
    paper(root, [rule_arm(name)], tmp_path / "j", law)

    assert_same_as_rollout(tmp_path / "j", name, play, [t.market.market_id for t in recorded])


def test_all_arms_decide_at_every_tick_and_one_trades(tmp_path: Path) -> None:
    root = record(tmp_path / "data", tapes())
    made = paper(root, [policy_spec("base"), policy_spec("transformer")], tmp_path / "j", LAWS["default"])
    opened = {r["market"]: r for r in lines(tmp_path / "j", "open")}

    assert made["decisions"] == 2 * made["ticks"]
    assert {r["arm"] for r in opened.values()} == {"base", "transformer"}
    assert all(set(r["arms"]) == {"base", "transformer"} for r in lines(tmp_path / "j", "tick"))
    assert all(r["arm"] == opened[r["market"]]["arm"] for r in lines(tmp_path / "j", "order"))
    assert all(r["propensity"] == opened[r["market"]]["propensity"][r["arm"]] for r in lines(tmp_path / "j", "order"))


def test_the_propensity_is_written_before_the_first_decision(tmp_path: Path) -> None:
    root = record(tmp_path / "data", tapes())
    paper(root, [policy_spec("base"), policy_spec("transformer")], tmp_path / "j", LAWS["default"], ramp=0.25)
    seen: set[str] = set()
    for line in read(tmp_path / "j"):
        if line["kind"] == "open":
            assert sum(line["propensity"].values()) == 1.0
            seen.add(line["market"])
        elif line["kind"] in ("tick", "order", "fill", "settle"):
            assert line["market"] in seen


def test_an_arm_in_the_shadow_changes_nothing(tmp_path: Path) -> None:
    root = record(tmp_path / "data", tapes())
    law = LAWS["default"]
    alone = paper(root, [policy_spec("base")], tmp_path / "alone", law)
    shadowed = paper(root, [policy_spec("base"), policy_spec("transformer")], tmp_path / "both", law, ramp=0.0)

    assert shadowed["net_usd"] == alone["net_usd"]
    assert [r["arms"]["base"] for r in lines(tmp_path / "both", "tick")] == [
        r["arms"]["base"] for r in lines(tmp_path / "alone", "tick")
    ]


def test_nothing_that_decides_can_know_how_a_window_ends(tmp_path: Path) -> None:
    made = tapes()
    told = record(tmp_path / "told", made)
    other = record(tmp_path / "other", [(tape, 1.0 - payoff) for tape, payoff in made])
    silent = record(tmp_path / "silent", [(tape, None) for tape, _ in made])
    arms = [policy_spec("base"), policy_spec("transformer")]
    for root in (told, other, silent):
        paper(root, arms, root / "j", LAWS["default"])

    for kind in ("open", "tick", "order", "fill"):
        plain = [
            [{k: v for k, v in r.items() if k not in ("n", "prev", "hash")} for r in lines(root / "j", kind)]
            for root in (told, other, silent)
        ]
        assert plain[0] == plain[1] == plain[2]
        assert plain[0]


def test_the_future_of_a_window_changes_nothing_before_it(tmp_path: Path) -> None:
    whole = tapes()[0][0]
    cut = whole.until(int(whole.recv_ns[119]))
    for name, tape in (("whole", whole), ("cut", cut)):
        paper(
            record(tmp_path / name, [(tape, 1.0)]),
            [policy_spec("transformer")],
            tmp_path / f"{name}.j",
            LAWS["default"],
        )
    before, after = (
        [(r["recv_ns"], r["position"], r["arms"]) for r in lines(tmp_path / f"{name}.j", "tick")]
        for name in ("cut", "whole")
    )

    assert before == after[:120]


@pytest.mark.parametrize("kind", ["base", "transformer"])
def test_live_equals_the_rollout_on_six_real_windows(kind: str, tmp_path: Path) -> None:
    bring_in("polymarket_btc15m_1s", sample("polymarket_btc15m_6_windows"), tmp_path / "data")
    law = LawSettings()
    policy = make_policy(kind, "small")
    policy.schema = schema_for("state18", reference="own_mid")  # these windows have no underlying
    recorded = list(Recording(tmp_path / "data").tapes())
    made = paper(tmp_path / "data", [policy_spec(kind, policy)], tmp_path / "j", law)
    payoffs = {r["market"]: r["payoff_up"] for r in lines(tmp_path / "j", "settle")}
    ids = [t.market.market_id for t in recorded]
    play = play_policy(
        policy,
        encode_windows(policy, batch_features(policy.schema, recorded)),
        [price_fills(tape, law) for tape in recorded],
        [payoffs[i] for i in ids],
    )

    assert made["windows"] == 6
    assert made["without_outcome"] == 0
    assert_same_as_rollout(tmp_path / "j", kind, play, ids)
