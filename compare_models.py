"""Compare two models: `python compare_models.py --base-model ./models/a --transformer-model ./models/b`."""

if __name__ == "__main__":
    from observer.kit.cli import open_door

    raise SystemExit(open_door("mlx_rl.cli.compare"))
