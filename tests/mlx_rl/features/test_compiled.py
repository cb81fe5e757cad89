"""The compiled step is compiled anew whenever a file it is made of changes."""

import ast
from pathlib import Path

from mlx_rl.features import step


def test_every_file_that_the_step_is_made_of_is_named() -> None:
    files = [Path(str(module.__file__)) for module in step.COMPILED_IN if module.__name__.startswith("mlx_rl")]
    imported: set[str] = set()
    for file in [*files, Path(step.__file__)]:
        for line in ast.walk(ast.parse(file.read_text())):
            if isinstance(line, ast.ImportFrom) and (line.module or "").startswith(("observer.", "mlx_rl.features.")):
                imported.add(str(line.module))

    assert imported == {module.__name__ for module in step.COMPILED_IN}


def test_the_cache_is_keyed_on_what_those_files_say(tmp_path: Path) -> None:
    files = [Path(str(module.__file__)) for module in step.COMPILED_IN]
    copies = [Path(tmp_path / file.name) for file in files]
    for file, copy in zip(files, copies, strict=True):
        copy.write_bytes(file.read_bytes())
    (held,) = step.run.py_func.__closure__

    assert held.cell_contents == step.made_from(files) == step.made_from(copies)
    for copy in copies:
        copy.write_bytes(copy.read_bytes() + b"# changed\n")
        assert step.made_from(copies) != held.cell_contents
        copy.write_bytes(copy.read_bytes().removesuffix(b"# changed\n"))
