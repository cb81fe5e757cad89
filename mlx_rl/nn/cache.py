"""Files that are made once per machine and kept: compiled shims and kernels."""

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path


def cached(name: str, stamp: str, make: Callable[[Path], object]) -> Path:
    """Return the cache file of `name` and `stamp`, made whole or not at all by `make(path)`."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlx-rl"
    if not _writable(root):
        root = Path(tempfile.gettempdir()) / f"mlx-rl-{os.getuid()}"
        root.mkdir(mode=0o700, exist_ok=True)
        if root.stat().st_uid != os.getuid():
            raise OSError(f"{root} belongs to somebody else; set XDG_CACHE_HOME to a folder of yours")
    key = hashlib.sha256(f"{name}/{stamp}/{platform.machine()}".encode()).hexdigest()[:16]
    path = root / f"{key}-{name}"
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=root, suffix=".so", delete=False) as scratch:
            pass
        try:
            make(Path(scratch.name))
            os.replace(scratch.name, path)
        finally:
            Path(scratch.name).unlink(missing_ok=True)
    return path


def cpu_flags() -> set[str]:
    """What this CPU can do, as Linux names it; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    return next((set(line.split()) for line in text.splitlines() if line.startswith("flags")), set())


def _writable(root: Path) -> bool:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(root, os.W_OK)
