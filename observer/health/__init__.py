"""What the recorder tells the outside: `/health`, `/metrics`, the terminal. Read only, on loopback only."""
