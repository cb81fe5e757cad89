"""Runs in an environment of its own: py-clob-client-v2's market data against the exchange at argv[1]."""

import json
import sys

from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import BookParams

base, token, condition = sys.argv[1:4]
client = ClobClient(f"{base}/polymarket/clob", 137)
book = client.get_order_book(token)
print(
    json.dumps(
        {
            "ok": client.get_ok(), "time": client.get_server_time(), "told": book["hash"],
            "computed": client.get_order_book_hash(book), "mid": client.get_midpoint(token),
            "books": len(client.get_order_books([BookParams(token_id=token)])), "tick": client.get_tick_size(token),
            "neg_risk": client.get_neg_risk(token), "market": client.get_market(condition)["condition_id"],
            "compact": [side["o"] for side in client.get_clob_market_info(condition)["t"]],
        }
    )
)  # fmt: skip
