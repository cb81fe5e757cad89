"""Record markets to disk: `python observer.py --markets all --local-dir ./data`."""

if __name__ == "__main__":
    from observer.kit.cli import open_door

    raise SystemExit(open_door("observer.cli.observe"))
