"""Every proof by name. A new proof is one file in this folder and one line here."""

import ast
from pathlib import Path

from observer.kit.registry import Registry

_HERE = Path(__file__).parent

# In the order a reader would ask: is the record right, the money, the verdict, the model; is it fast; does it all run.
PROOFS = Registry(
    "proof",
    {
        "batch_equals_stream": "scripts.proofs.batch_equals_stream",
        "oracle": "scripts.proofs.oracle",
        "refusals": "scripts.proofs.refusals",
        "kill9": "scripts.proofs.kill9",
        "power_cut": "scripts.proofs.power_cut",
        "disk_full": "scripts.proofs.disk_full",
        "faults": "scripts.proofs.faults",
        "clock_steps": "scripts.proofs.clock_steps",
        "intake": "scripts.proofs.intake",
        "lateness": "scripts.proofs.lateness",
        "size": "scripts.proofs.size",
        "soak": "scripts.proofs.soak",
        "daemon_memory": "scripts.proofs.daemon_memory",
        "s3": "scripts.proofs.s3",
        "spike": "scripts.proofs.spike",
        "null": "scripts.proofs.null",
        "parity": "scripts.proofs.parity",
        "features_speed": "scripts.proofs.features_speed",
        "train_speed": "scripts.proofs.train_speed",
        "train_memory": "scripts.proofs.train_memory",
        "decision_latency": "scripts.proofs.decision_latency",
        "demo": "scripts.proofs.demo",
        "tests": "scripts.proofs.tests",
    },
)

# Each takes minutes of its own; `--all` leaves them out and says so.
ALONE = ("tests", "train_memory", "kill9", "faults", "soak", "s3")


def promise(name: str) -> str:
    """The first line of a proof's docstring: what it promises, in plain words (read without importing it)."""
    text = ast.get_docstring(ast.parse((_HERE / f"{name}.py").read_text()))
    return (text or "").splitlines()[0].rstrip(".")
