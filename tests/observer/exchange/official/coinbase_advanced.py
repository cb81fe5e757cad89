"""Runs in an environment of its own: Coinbase's SDK reads the exchange at argv[1]."""

import json
import sys
import time

from coinbase.websocket import WebsocketResponse, WSClient

seen = {}


def on_message(text: str) -> None:
    message = WebsocketResponse(json.loads(text))
    events = seen.setdefault(message.channel, [])
    for event in message.events:
        if message.channel == "l2_data":
            events.append([event.type, event.product_id, len(event.updates)])
        elif message.channel == "market_trades":
            events += [[trade.product_id, trade.side, trade.price] for trade in event.trades]
        elif message.channel == "ticker":
            events += [[ticker.product_id, ticker.best_bid, ticker.best_ask] for ticker in event.tickers]
        else:
            events.append([])


client = WSClient(base_url=sys.argv[1].replace("http", "ws", 1) + "/coinbase/ws", on_message=on_message, retry=False)
client.open()
client.level2(product_ids=["BTC-USD"])
client.market_trades(product_ids=["BTC-USD"])
client.ticker(product_ids=["BTC-USD"])
client.heartbeats()
time.sleep(4)
client.close()
print(json.dumps({channel: [*events[:3], len(events)] for channel, events in seen.items()}))
