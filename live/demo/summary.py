"""What the demo found, as one JSON object and as ten lines."""

from typing import Any

from live.demo.steps import EPOCHS, REPLAY_SPEED, Demo
from observer.store.reader import Recording


def summarise(demo: Demo, shares: dict[str, float], wall_s: float) -> dict[str, Any]:
    """Put the steps' results together; every figure comes out of a step."""
    spike, real = demo.said["compare_spike"], demo.said["compare_real"]
    exports = [demo.said[f"export_{name}"] for name in EPOCHS]
    paper, replay = demo.said["paper"], demo.said["replay"]
    observed = demo.said["observe"]
    venue = observed["venues"]["polymarket"]
    return {
        "wall_s": round(wall_s, 1),
        "dataset_id": Recording(demo.root / "data" / "real").dataset_id,
        "recorded": {
            "messages": venue["messages"],
            "tick_rows": observed["tick_rows"],
            "late_p99_ms": observed["lateness_ms"]["p99"],
            "reconnects": venue["reconnects"],
            "refused": sum(venue["refused"].values()),
            "windows": len(Recording(demo.root / "data" / "real").markets()),
        },
        "spike": {
            "dataset_id": demo.said["synthetic"]["dataset_id"],
            "share": shares,
            "verdict": spike["comparison"]["verdict"]["word"],
            "windows": spike["windows"]["judged"],
        },
        "real": {
            "verdict": real["comparison"]["verdict"]["word"],
            "windows": real["windows"]["judged"],
            "windows_needed": real["comparison"]["verdict"]["windows_needed"],
            "outcomes": real["windows"]["outcomes"],
        },
        "parity": {
            "max_abs": max(e["max_abs"] for e in exports),
            "flips": sum(e["decisions"]["flips_outside_margin"] for e in exports),
            "decisions": sum(e["decisions"]["compared"] for e in exports),
        },
        "paper": {
            "decisions": paper["decisions"],
            "net_usd": paper["net_usd"],
            "replay_equal": replay["same"],
        },
        "steps_s": {name: round(took, 1) for name, took in demo.seconds.items()},
    }


def ten_lines(s: dict[str, Any]) -> str:
    """The result in words."""
    recorded = s["recorded"]
    spike, real, parity, paper = s["spike"], s["real"], s["parity"], s["paper"]
    needed = f"about {real['windows_needed']:,}" if real["windows_needed"] else "more than can be told from so few"
    kinds = ", ".join(f"{n} {kind}" for kind, n in real["outcomes"].items())
    same = "every decision came out the same, bit for bit" if paper["replay_equal"] else "DECISIONS DIFFERED"
    return "\n".join(
        [
            f" 1. Recorded {recorded['windows']} real Bitcoin windows over sockets, {REPLAY_SPEED} times as fast as "
            f"they were: {recorded['messages']:,} messages, {recorded['tick_rows']:,} ticks "
            f"(dataset {s['dataset_id'][:12]}).",
            " 2. Made the synthetic market `spike`, where what pays was shown 12 ticks earlier.",
            " 3. Trained base (sees 5 ticks) and transformer (sees 20) on both.",
            f" 4. spike, unseen paths: of what can be known the transformer earned "
            f"{spike['share']['transformer']:.0%}, base {spike['share']['base']:.0%}.",
            f" 5. spike, transformer against base: {spike['verdict']} on {spike['windows']} windows.",
            f" 6. real, transformer against base: {real['verdict']} on {real['windows']} windows ({kinds} outcomes).",
            f" 7. real: clock windows needed for an answer: {needed}.",
            f" 8. Exported four models; largest difference to PyTorch and NumPy {parity['max_abs']:.1e}, "
            f"{parity['flips']} flips in {parity['decisions']:,} decisions.",
            " 9. Traded all six on paper through the A/B router (two were trained on): "
            f"{paper['decisions']:,} decisions, net {paper['net_usd']:+.2f} USD; replayed, {same}.",
            f"10. Took {s['wall_s']:.0f} s. No order was sent. Pictures: {s['report']}",
        ]
    )
