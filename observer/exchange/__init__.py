"""A loopback exchange: real HTTP and WebSockets on 127.0.0.1 that speak the venues' protocols.

It exists so that the recorder can be tried, tested and broken without the internet. It is written from the protocol
facts alone and shares no code with `observer/venues`, so a wrong reading on one side shows when both meet.

    clock, agenda   virtual time, and what happens when
    markets/        books that move: made up from a seed, or replayed from a recording
    venues/         one protocol each
    peer, faults    one connection, and what can be made to go wrong with it
    control         the tests' own door: clock, faults, true books, log
    server          all of it behind one port
    load            a flood of ready-made frames, to find out how much a reader can take

Order entry is not here yet; it will get a folder of its own, `orders/`, next to `markets/`.
"""
