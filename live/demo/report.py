"""`demo/report.html`: the ten lines, and both comparisons with their pictures, in one file that needs nothing else."""

import re
from html import escape
from pathlib import Path
from typing import Any

from live.demo.summary import ten_lines
from mlx_rl.evaluation.report.html import write_page


def write_report(path: Path, summary: dict[str, Any], comparisons: dict[str, Path]) -> None:
    """Write the page.

    Args:
        path: file to write.
        summary: the demo's figures.
        comparisons: heading -> a comparison's own page, whose content is taken over.
    """
    lines = "".join(f"<li>{escape(line.split('. ', 1)[1])}</li>" for line in ten_lines(summary).splitlines())
    steps = "".join(f"<tr><td>{escape(name)}<td class=n>{took:.1f}</tr>" for name, took in summary["steps_s"].items())
    parts = [
        "<h1>What the demo found</h1>",
        "<p class=sub>Two models, two recordings, the whole line from ticks to paper trades.</p>",
        f"<div class=card><ol>{lines}</ol></div>",
    ]
    for heading, page in comparisons.items():
        parts += [f"<h2>{escape(heading)}</h2>", _content(page)]
    parts.append(
        f"<h2>How long each step took</h2><div class=card><table><tr><th>step<th class=n>s</tr>{steps}</table></div>"
    )
    write_page(path, "mlx-rl demo", parts)


def _content(page: Path) -> str:
    """What stands between a report page's `<main>` tags."""
    found = re.search(r"<main>(.*)</main>", page.read_text(), re.DOTALL)
    if found is None:
        raise ValueError(f"{page} is no report page")
    return found.group(1)
