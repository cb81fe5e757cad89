"""Judge a model on windows it has not seen: `python evaluate_model.py --model ./models/x --test-data ./data`."""

if __name__ == "__main__":
    from mlx_rl.cli.evaluate import main

    raise SystemExit(main())
