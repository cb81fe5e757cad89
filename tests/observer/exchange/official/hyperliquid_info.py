"""Runs in an environment of its own: Hyperliquid's SDK reads the exchange at argv[1]."""

import json
import sys
import time

from hyperliquid.info import Info

seen = {"l2Book": [], "trades": [], "bbo": []}
info = Info(sys.argv[1] + "/hyperliquid/rest", spot_meta={"universe": [], "tokens": []})
for kind, messages in seen.items():
    info.subscribe({"type": kind, "coin": "BTC"}, messages.append)
time.sleep(4)
mids, book = info.all_mids(), info.l2_snapshot("BTC")
info.disconnect_websocket()
print(
    json.dumps(
        {
            "counts": {kind: len(messages) for kind, messages in seen.items()}, "mid": mids["BTC"],
            "levels": [len(side) for side in book["levels"]], "last": seen["l2Book"][-1]["data"]["coin"],
        }
    )
)  # fmt: skip
