"""The installed command `mlx-rl` and the doors of the live package."""
