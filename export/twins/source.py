"""`twin.py` of an exported folder: the twin's source in one file that needs numpy, torch and safetensors only."""

import ast
from pathlib import Path

HERE = Path(__file__).parent
LICENSE_NOTE = "Part of mlx-rl, MIT License."
HEAD = '''"""A trained policy as a PyTorch module, in one file that needs numpy, torch and safetensors only.

    import torch, twin                    # with this folder on the path
    model = twin.load(folder)
    encoded, logits, value, forecast = model(window, is_real, state)

Inputs are float32 (is_real bool): window (B, L, F), the last L states, oldest first, missing ones in front and
False in is_real (B, L); state (B, F), the newest state with the account's position entries. Both are scaled:
(x - mean) / scale with `scaler` of manifest.json. certificate.json says how this was checked.
`load` checks every file against it, refuses NaN, and replays golden.npz first; it raises ValueError and says why.

{license}
"""
'''


def twin_source(kind: str) -> str:
    """The text of `twin.py` for "base" or "transformer"; the same text each time."""
    imports: set[str] = set()
    bodies: list[str] = []
    for name in ("parts", kind):
        text = (HERE / f"{name}.py").read_text()
        nodes = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
        imports |= {ast.unparse(node) for node in nodes if "export" not in ast.unparse(node)}
        bodies.append("\n".join(text.splitlines()[nodes[-1].end_lineno or 0 :]).strip("\n"))
    ours = sorted(imports, key=lambda line: ("torch" in line, line.startswith("from"), line))
    return "\n".join([HEAD.format(license=LICENSE_NOTE), *ours, "\n", "\n\n\n".join(bodies)]) + "\n"
