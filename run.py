"""Trade a strategy, on paper: `python run.py mean_revert --venue replay --data-dir ./data --size 50`."""

if __name__ == "__main__":
    from live.cli.run import main

    raise SystemExit(main())
