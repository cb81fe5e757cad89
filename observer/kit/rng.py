"""Random numbers that a second machine draws again.

Every stream is named, so adding a consumer never shifts the numbers of another one.
"""

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of the stream `names` under `seed` (seed 0 is a seed).

    The stream key is SHA-256 of the names, so it does not depend on Python's hash seed.
    """
    digest = hashlib.sha256("/".join(str(name) for name in names).encode()).digest()
    words = np.frombuffer(digest, dtype=np.uint32).tolist()
    return np.random.default_rng([seed, *words])
