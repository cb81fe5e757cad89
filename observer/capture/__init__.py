"""From sockets to batches: connections, what their frames said, and the tick grid over it. No file is touched here."""
