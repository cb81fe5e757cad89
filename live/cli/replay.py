"""`mlx-rl replay JOURNAL`: decide a journal again and say whether every decision is the same, bit for bit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import BaseModel, ConfigDict, Field

from observer.kit.cli import run_command
from observer.kit.console import table


class ReplaySettings(BaseModel):
    """Which journal, and what to check it against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    journal: Annotated[Path, tyro.conf.Positional] = Field(description="journal that `run --journal` wrote")
    data_dir: Path | None = Field(default=None, description="recording to check inputs and payoffs against as well")
    load: Path | None = Field(default=None, description="where the first model lies now, if not where it lay then")
    load_b: Path | None = Field(default=None, description="where the second model lies now")
    unfinished: bool = Field(default=False, description="accept a journal without a footer, up to its last whole line")
    last_hash: str | None = Field(
        default=None, description="the last hash that the session printed; another one is refused"
    )


def work(settings: ReplaySettings) -> dict[str, Any]:
    """Verify the chain, then replay.

    Raises:
        JournalBroken: a line is not what was written.
        JournalUnfinished: no footer, and --unfinished was not given.
    """
    from live.arms import arm_from_record
    from live.journal import read, verify
    from live.replay import Tapes, replay
    from live.runner import machine

    header = next(read(settings.journal, unfinished=True))
    verdict = verify(settings.journal, last_hash=settings.last_hash)
    folders = iter((settings.load, settings.load_b))
    makers = {
        record["name"]: arm_from_record(record, next(folders) if record["kind"] == "policy" else None).make
        for record in header["arms"]
    }
    tapes = payoffs = None
    if settings.data_dir is not None:
        from mlx_rl.market.settlement import read_payoffs
        from observer.store.reader import Recording

        tapes, payoffs = Tapes(Recording(settings.data_dir)), read_payoffs(settings.data_dir)
    made = replay(settings.journal, makers, tapes=tapes, payoffs=payoffs, unfinished=settings.unfinished)
    made["is_finished"], made["last_hash"] = verdict.is_finished, verdict.last_hash
    made["same_machine"] = header["machine"] == machine()
    made["same"] = made["equal"] == made["decisions"] and made["records_equal"]
    if made["inputs"] is not None:
        made["same"] = made["same"] and made["inputs"]["equal"] == made["inputs"]["checked"]
    return made


def show(result: dict[str, Any]) -> str:
    """The verdict, the first difference, and where the profit's difference comes from."""
    profit = result["profit"]
    rows = [
        ("journalled", profit["journalled_usd"]),
        ("other fills", profit["fills_usd"]),
        ("other settlement", profit["settlement_usd"]),
        ("other decisions", profit["decisions_usd"]),
        ("replayed", profit["replayed_usd"]),
    ]
    lines = [
        f"{result['journal']}: {'SAME' if result['same'] else 'DIFFERENT'}; {result['equal']} of "
        f"{result['decisions']} decisions equal bit for bit, over {result['ticks']} ticks.",
        table([(name, f"{usd:.4f}") for name, usd in rows], ("profit", "USD")),
    ]
    if result["inputs"] is not None:
        lines.append(f"inputs: {result['inputs']['equal']} of {result['inputs']['checked']} ticks are the recording's.")
    if result["first_difference"] is not None:
        first = result["first_difference"]
        lines += [
            f"first difference, line {first['line'] + 1}: {first['what']}",
            f"  journalled {first['journalled']}",
            f"  replayed   {first['replayed']}",
        ]
        if not result["same_machine"]:
            lines.append("The journal was made on another machine or with other library versions; bits may differ.")
    if not result["is_finished"]:
        lines.append("The journal is unfinished; its whole lines were replayed.")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the door; exit 0 only where everything is the same."""
    is_same = True

    def checked(settings: ReplaySettings) -> dict[str, Any]:
        nonlocal is_same
        made = work(settings)
        is_same = made["same"]
        return made

    code = run_command(
        ReplaySettings,
        checked,
        argv,
        prog="mlx-rl replay",
        about="Replay a journal and compare every decision, order and cent. No order is sent.",
        show=show,
    )
    return code or int(not is_same)
