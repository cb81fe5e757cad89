"""Which code made a file: the package's version, and the Git commit where the code runs from a checkout."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


@cache
def code_version() -> str:
    """Return e.g. `0.1.0+g3bc820d`; the commit is left out of an installed package."""
    try:
        number = version("mlx-rl")
    except PackageNotFoundError:  # run from a copied folder that was never installed
        number = "0+unknown"
    commit = _commit(_CHECKOUT / ".git")
    return f"{number}+g{commit[:7]}" if commit and "+" not in number else number


def _commit(git: Path) -> str:
    """Read HEAD of a plain Git folder; empty where there is none."""
    head = git / "HEAD"
    if not head.is_file():
        return ""
    text = head.read_text().strip()
    if not text.startswith("ref: "):
        return text
    name = text.removeprefix("ref: ")
    loose, packed = git / name, git / "packed-refs"
    if loose.is_file():
        return loose.read_text().strip()
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {name}")), "")
