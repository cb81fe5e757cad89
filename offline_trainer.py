"""Train a policy from recorded markets: `python offline_trainer.py --data-dir ./data --method bc`."""

if __name__ == "__main__":
    from mlx_rl.cli.train import main

    raise SystemExit(main())
