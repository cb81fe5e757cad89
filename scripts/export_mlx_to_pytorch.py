"""Carry a model to PyTorch: `python scripts/export_mlx_to_pytorch.py --input ./models/x --output ./models/x_torch`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from observer.kit.cli import open_door

    raise SystemExit(open_door("export.cli"))
