"""A helper ends with the process that started it, even if that is killed before the helper's first line.

The recorder tells its helpers its process id, in their environment. A helper that asked the system instead would learn,
once the recorder is dead, of whoever took it over, and run for ever. One that is started by hand asks the system.
"""

import os

VARIABLE = "MLX_RL_PARENT"
_PARENT = int(os.environ.get(VARIABLE) or os.getppid())


def is_parent_there() -> bool:
    """Whether the process that started this one still runs."""
    return os.getppid() == _PARENT
