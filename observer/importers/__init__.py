"""Formats that others recorded in, each brought into a recording by one file.

A member is `import_dir(source: Path, writer: RecordingWriter, report: ImportReport) -> None`. It reads what
lies in `source`, refuses what is wrong through `observer.store.screen`, and writes what is left.
"""

from observer.kit.registry import Registry

IMPORTERS = Registry(
    "importer",
    {
        "polymarket_btc15m_1s": "observer.importers.polymarket_btc15m_1s:import_dir",
        "polymarket_btc15m_top_1s": "observer.importers.polymarket_btc15m_top_1s:import_dir",
        "kalshi_crypto15m": "observer.importers.kalshi_crypto15m:import_dir",
        "polymarket_us_quotes_2min": "observer.importers.polymarket_us_quotes_2min:import_dir",
        "binance_l2": "observer.importers.binance_l2:import_dir",
        "ancestor_gzjson": "observer.importers.ancestor_gzjson:import_dir",
    },
)
