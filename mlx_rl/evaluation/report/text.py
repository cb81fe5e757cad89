"""The short table on stdout."""

from typing import Any

from observer.kit.clock import duration, iso
from observer.kit.console import table


def verdict_line(result: dict[str, Any]) -> str:
    """The word, what is needed for more, and the sentence behind it."""
    verdict = result["verdict"]
    word = verdict["word"]
    if word == "INCONCLUSIVE":
        needed = verdict["windows_needed"]
        word += (
            f" (clock windows needed: {needed:,})"
            if needed
            else " (clock windows needed: more than can be told from these)"
        )
    return f"{word}\n  {verdict['reason']}"


def show_evaluation(result: dict[str, Any]) -> str:
    """One model's judgement, and the comparison where one was asked for."""
    parts = [
        f"{result['model']}, against doing nothing: {verdict_line(result)}",
        _deployment(result["deployment"]),
        *_setting(result),
        _against(result["against"]),
        _waterfalls(result["waterfall"]),
        "\n".join([_break_even(result), _oracle(result), _random(result), _probability(result), _behaviour(result)]),
    ]
    if result.get("comparison"):
        parts.insert(2, show_contrast(result["comparison"]))
    return "\n\n".join(part for part in parts if part)


def show_comparison(result: dict[str, Any]) -> str:
    """Two models, paired, and each of them against everybody else."""
    parts = [show_contrast(result["comparison"]), *_setting(result)]
    for model in result["models"].values():
        parts += [
            f"{model['model']}, against doing nothing: {verdict_line(model)}",
            _deployment(model["deployment"]),
            _against(model["against"]),
            _waterfalls(model["waterfall"]),
            "\n".join([_break_even(model), _oracle(model), _random(model), _probability(model), _behaviour(model)]),
        ]
    return "\n\n".join(part for part in parts if part)


def show_contrast(found: dict[str, Any]) -> str:
    """The comparison of two models in a few lines."""
    correlation = found["correlation"]
    share = found["action_disagreement_share"]
    lines = [
        f"{found['ours']}, against {found['theirs']}: {verdict_line(found)}",
        f"  use: {found['recommended']}" + _why_simpler(found),
        f"  they act differently on {share:.1%} of the ticks; in {found['windows_differing']} of {found['windows']} "
        "windows their positions differ" + ("" if correlation is None else f"; profits correlate {correlation:+.2f}"),
    ]
    if found["difference_usd_where_differing"] is not None:
        lines.append(f"  in those windows: {found['difference_usd_where_differing']:+.3f} USD per window")
    return "\n".join(lines)


def _why_simpler(found: dict[str, Any]) -> str:
    settled = found["verdict"]["word"] in ("BETTER", "WORSE")
    return "" if settled else " (the simpler one, as nothing is shown to separate them)"


def _deployment(found: dict[str, Any]) -> str:
    return "\n".join([found["word"], *(f"  {reason}" for reason in found["reasons"])])


def _setting(result: dict[str, Any]) -> list[str]:
    w, law = result["windows"], result["law"]
    outcomes = ", ".join(f"{n} {kind}" for kind, n in w["outcomes"].items())
    series = ", ".join(f"{name} ({n})" for name, n in w["series"].items())
    latency = "at the next tick" if law["latency_s"] is None else f"{law['latency_s']} s later"
    lines = [
        f"{w['judged']} windows in {w['clock_windows']} clock windows, {iso(w['first_open_ns'])[:16]} to "
        f"{iso(w['last_close_ns'])[:16]} UTC: {series}",
        f"outcomes: {outcomes}; {law['size_shares']:g} shares per position, decisions fill {latency}, fees "
        f"{law['fees']}, {law['fills']} fills",
        *trained_lines(result),
        *(f"warning: {text}" for text in result["warnings"]),
    ]
    return ["\n".join(lines)]


def trained_lines(result: dict[str, Any]) -> list[str]:
    """Which windows each model, or each fold of a walk-forward, was made from."""
    lines: list[str] = []
    for name, parts in result.get("trained_on", {}).items():
        for folds in parts:
            which = f"{name}, fold {folds['fold']} of {folds['n_folds']}," if folds["n_folds"] > 1 else name
            lines.append(
                f"{which} learnt from {folds['train_windows']} windows"
                + (f" of {folds['market']}" if folds["market"] else "")
                + (f", {folds['valid_windows']} chose its epoch" if folds["valid_windows"] else "")
                + f"; the last closed at {iso(folds['trained_until_ns'])[:16]} UTC, {_embargo(folds)}"
            )
    return lines


def _embargo(folds: dict[str, Any]) -> str:
    n = folds["settings"]["embargo_windows"]
    opened = f"{iso(folds['unseen_from_ns'])[:16]} UTC"
    return f"it is judged from {opened} on, after an embargo of {n} clock window{'' if n == 1 else 's'}"


def _against(rows: list[dict[str, Any]]) -> str:
    cells = []
    for row in rows:
        if "difference_usd" not in row:
            cells.append([row["trader"], "", "", "", "", row["note"]])
            continue
        d = row["difference_usd"]
        cells.append(
            [
                row["trader"], f"{row['net_usd_per_window']:+.3f}", f"{row['trades_per_window']:.2f}",
                f"{d['mean']:+.3f}", f"{d['low']:+.2f} to {d['high']:+.2f}", row["verdict"],
            ]
        )  # fmt: skip
    head = ["trader", "its net USD/window", "trades/window", "model less it", "interval, ≥ 95 %", "model is"]
    return table(cells, head)


def _waterfalls(found: dict[str, dict[str, float]]) -> str:
    signs = {"gross": 1, "spread": -1, "slippage": -1, "fees": -1, "net": 1}
    rows = [
        [name, *(f"{sign * fall[k] + 0.0:+.3f}" for k, sign in signs.items()), f"{fall['trades']:.2f}"]
        for name, fall in found.items()
    ]
    return table(rows, ["fills", "gross USD/window", "spread", "slippage", "fees", "net", "trades/window"])


def _break_even(result: dict[str, Any]) -> str:
    found = result["break_even"]
    if found["cost_usd_per_share"] is None:
        return "break-even: no trades"
    if found["cost_usd_per_share"] <= 0:
        return "break-even fee: none, it loses before any fee"
    per_share = f"{100 * found['cost_usd_per_share']:.2f} cents per share traded"
    if found["fee_multiple"] is None:
        return f"break-even fee: {per_share}; no fee was charged"
    return f"break-even fee: {per_share}, {found['fee_multiple']:.2f} times today's"


def _oracle(result: dict[str, Any]) -> str:
    found = result["oracle"]
    share = "-" if found["share"] is None else f"{found['share']:.1%}"
    return f"oracle: {found['net_usd_per_window']:.2f} USD per window in hindsight; the model took {share} of it"


def _random(result: dict[str, Any]) -> str:
    found = result["random_traders"]
    return (
        f"random timing, same turnover: {found['as_good_or_better']} of {found['traders']} earned as much or more "
        f"(mean {found['net_usd_per_window']:+.3f} USD per window)"
    )


def _probability(result: dict[str, Any]) -> str:
    found = result["calibration"]
    if not found["decisions"]:
        return f"probability: {found['note']}"
    row = found["by_time_left"][0]
    return (
        f"probability: log-loss {row['log_loss']:.4f} against the market's {row['log_loss_market']:.4f} nats, Brier "
        f"{row['brier']:.4f} against {row['brier_market']:.4f}: {row['verdict']}"
    )


def _behaviour(result: dict[str, Any]) -> str:
    found = result["behaviour"]
    mix = ", ".join(f"{name} {share:.1%}" for name, share in found["action_share"].items())
    held = found["median_holding_s"]
    return (
        f"behaviour: {mix}; traded in {found['windows_traded_share']:.0%} of the windows"
        + ("" if held is None else f", held {duration(held)} in the median")
        + f"; {found['held_to_settlement_share']:.0%} of the windows ended with a position"
    )
