"""Whether the process that started this helper is still there: a helper must not outlive it, however it ended."""

import os

CHILD_OF = "MLX_RL_CHILD_OF"


def child_environment() -> dict[str, str]:
    """What to add to the environment of a helper that shall end with this process."""
    return {CHILD_OF: str(os.getpid())}


def parent_is_gone() -> bool:
    """True once the process that started this one as its helper has ended; False where nobody did."""
    expected = os.environ.get(CHILD_OF)
    return expected is not None and os.getppid() != int(expected)
