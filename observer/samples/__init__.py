"""Recordings small enough to travel with the package, for the demo and for tests.

Each is a folder in the form its importer reads, with an ATTRIBUTION.md that names its source and licence.
"""

from pathlib import Path

from observer.kit.errors import UsageError


def sample(name: str) -> Path:
    """The folder of a bundled recording, e.g. `polymarket_btc15m_6_windows`; raises `UsageError` for no such name."""
    here = Path(__file__).parent
    folder = here / name
    if not (folder / "ATTRIBUTION.md").is_file():
        known = sorted(path.parent.name for path in here.glob("*/ATTRIBUTION.md"))
        raise UsageError(f"no bundled recording is called {name!r}. Known: {', '.join(known)}.")
    return folder
