"""Record markets to disk: `python observer.py --markets all --local-dir ./data`."""

if __name__ == "__main__":
    from observer.cli.observe import main

    raise SystemExit(main())
