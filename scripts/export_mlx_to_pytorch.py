"""Carry a model to PyTorch: `python scripts/export_mlx_to_pytorch.py --input ./models/x --output ./models/x_torch`."""

if __name__ == "__main__":
    from export.cli import main

    raise SystemExit(main())
