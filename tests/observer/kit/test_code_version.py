"""The code's version names the commit where there is one, loose or packed."""

from pathlib import Path

import pytest

from observer.kit import code_version as module
from observer.kit.code_version import code_version

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_version_of_this_checkout_or_install_is_one_word() -> None:
    assert code_version()[0].isdigit()
    assert " " not in code_version()


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, ""),
        ({"HEAD": COMMIT}, COMMIT),
        ({"HEAD": "ref: refs/heads/main\n", "refs/heads/main": COMMIT + "\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main\n", "packed-refs": f"# pack-refs\n{COMMIT} refs/heads/main\n"}, COMMIT),
        ({"HEAD": "ref: refs/heads/main\n"}, ""),
    ],
)
def test_the_commit_is_read_from_a_git_folder(files: dict[str, str], found: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert module._commit(tmp_path) == found
