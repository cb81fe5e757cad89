"""Compare two models: `python compare_models.py --base-model ./models/a --transformer-model ./models/b`."""

if __name__ == "__main__":
    from mlx_rl.cli.compare import main

    raise SystemExit(main())
