"""Trade a strategy, on paper: `python run.py mean_revert --venue replay --data-dir ./data --size 50`."""

if __name__ == "__main__":
    from observer.kit.cli import open_door

    raise SystemExit(open_door("live.cli.run"))
