"""The frame every door shares: flags from settings, `--config`, `--json`, and honest exit codes.

A command is a pydantic settings class and a function. Flags beat the `--config` TOML file, the file beats
the default, an unknown key is an error. Exit 0 done, 1 failed, 2 misused, 130 interrupted.
"""

import sys
import tomllib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from observer.kit.console import emit_json, say
from observer.kit.errors import ToolkitError, UsageError

if TYPE_CHECKING:  # a bare Python reads this file too, and says what it lacks
    from pydantic import BaseModel

S = TypeVar("S", bound="BaseModel")

# A library that an installed part may lack -> the extra that brings it.
EXTRA_OF: dict[str, str] = {
    "numba": "live",
    "safetensors": "live",
    "mlx": "train",
    "pandas": "report",
    "plotly": "report",
    "matplotlib": "report",
    "torch": "export",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "aiohttp": "exchange",
    "boto3": "s3",
    "botocore": "s3",
}

# The libraries of the base install, by the name they are imported by: without one there is no install at all.
BASE = (
    "cryptography", "httpx", "msgspec", "numpy", "picows", "prometheus_client", "pyarrow", "pydantic", "rich", "tyro",
    "uvloop", "zstandard",
)  # fmt: skip


def open_door(module: str) -> int:
    """What a script of the checkout does: run the module's `main`, or say which library this Python lacks."""
    try:
        main = import_module(module).main
    except ModuleNotFoundError as error:
        return report_missing(error)
    return main()


def run_command(
    settings: type[S],
    work: Callable[[S], dict[str, Any]],
    argv: Sequence[str] | None,
    *,
    prog: str,
    about: str,
    show: Callable[[dict[str, Any]], str],
) -> int:
    """Parse `argv` into `settings`, do the work, print the result, return the exit code.

    Args:
        settings: the command's flags, declared once.
        work: does the job and returns the result as plain data; writes progress to stderr only.
        argv: arguments without the program's name; None takes them from the process.
        prog: the name to show in the help.
        about: first sentence what happens, second what does not.
        show: turns the result into the short table that stdout gets without `--json`.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        as_json = _take_flag(args, "--json")
        chosen = parse(settings, args, prog=prog, about=about)
        result = work(chosen)
        if as_json:
            emit_json(result)
        else:
            print(show(result))
        return 0
    except SystemExit as stop:  # tyro has printed the help, or what was wrong with a flag
        return 0 if stop.code in (0, None) else 2
    except KeyboardInterrupt:
        say("interrupted; what was finished is saved")
        return 130
    except UsageError as error:
        say(f"error: {error}")
        return 2
    except ToolkitError as error:
        say(f"error: {error}")
        return 1
    except BrokenPipeError:
        return 1
    except ModuleNotFoundError as error:
        return report_missing(error)
    except OSError as error:
        if error.filename is None:
            raise
        say(f"error: {error.filename}: {error.strerror}. Give another path, or change that one.")
        return 1


def report_missing(error: ModuleNotFoundError) -> int:
    """Say which library is missing and what brings it; a module that no install brings is raised again."""
    missing = (error.name or "").partition(".")[0]
    if missing in BASE:
        say(
            f"error: this needs {missing}, which {sys.executable} does not have. In the checkout: run `make install`, "
            "then `. .venv/bin/activate`, and start it again."
        )
        return 1
    if missing not in EXTRA_OF:
        raise error
    install = f"pip install -e '.[{EXTRA_OF[missing]}]'"
    say(f"error: this needs {missing}, which is not installed. From the checkout: {install}")
    return 1


def parse(settings: type[S], args: list[str], *, prog: str, about: str) -> S:
    """Build `settings` from flags over an optional `--config FILE.toml` over the defaults.

    Raises:
        UsageError: a flag, key or value that the settings do not allow.
    """
    import tyro

    config = _take_value(args, "--config")
    note = f"{about}\n\nAlso: --config FILE.toml (these settings as keys), --json (the result as one JSON object)."
    if config is not None:
        args = [*_flags_from_toml(settings, Path(config)), *args]
    return tyro.cli(settings, args=args, prog=prog, description=note)


def _flags_from_toml(settings: "type[BaseModel]", path: Path) -> list[str]:
    """Turn the file's keys into flags, to be read before those of the command line, which then win."""
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"--config {path}: no such file.") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--config {path}: not TOML ({error}).") from error
    flags: list[str] = []
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in settings.model_fields:
            raise UsageError(f"--config {path}: unknown key {key!r}. Known: {', '.join(settings.model_fields)}.")
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            items = cast(list[Any], value) if isinstance(value, list) else [value]
            flags += [flag, *(str(item) for item in items)]
    return flags


def _take_flag(args: list[str], flag: str) -> bool:
    found = flag in args
    while flag in args:
        args.remove(flag)
    return found


def _take_value(args: list[str], flag: str) -> str | None:
    for i, arg in enumerate(args):
        if arg == flag:
            if i + 1 >= len(args):
                raise UsageError(f"{flag} wants a value.")
            value = args[i + 1]
            del args[i : i + 2]
            return value
        if arg.startswith(flag + "="):
            del args[i]
            return arg.split("=", 1)[1]
    return None
