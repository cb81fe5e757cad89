"""Judge a model on windows it has not seen: `python evaluate_model.py --model ./models/x --test-data ./data`."""

if __name__ == "__main__":
    from observer.kit.cli import open_door

    raise SystemExit(open_door("mlx_rl.cli.evaluate"))
