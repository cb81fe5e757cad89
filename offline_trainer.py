"""Train a policy from recorded markets: `python offline_trainer.py --data-dir ./data --method bc`."""

if __name__ == "__main__":
    from observer.kit.cli import open_door

    raise SystemExit(open_door("mlx_rl.cli.train"))
