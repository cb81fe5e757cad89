"""What is written never waits, and is read in order, whole, where somebody reads."""

import os
import sys
import time
from pathlib import Path

import pytest

from observer.kit.outlet import Outlet, Outlets


def test_everything_written_arrives_in_order(tmp_path: Path) -> None:
    with (tmp_path / "words").open("w") as stream:
        outlet = Outlet(stream)
        for number in range(2_000):
            print(number, "–", file=outlet, flush=True)

        assert outlet.drain(5)
    assert (tmp_path / "words").read_text() == "".join(f"{number} –\n" for number in range(2_000))


def test_what_nobody_reads_is_left_out_and_said_once_somebody_does() -> None:
    ours, its = os.pipe()
    with os.fdopen(its, "w") as stream, os.fdopen(ours) as reader:
        outlet = Outlet(stream, limit_chars=10_000)
        outlet.write("x" * 99_999 + "\n")  # more than a pipe takes
        began_s = time.monotonic()
        for number in range(1_000):
            outlet.write(f"{number}\n" * 100)
        took_s = time.monotonic() - began_s

        assert len(reader.readline()) == 100_000
        while outlet._n_chars:
            time.sleep(0.001)
        outlet.write("and so on\n")
        assert outlet.drain(5)
        stream.close()
        rest = reader.read()

    assert took_s < 1
    assert rest == "(1000 texts were left out here: nobody read them)\nand so on\n"


def test_nobody_waits_for_ever_for_a_reader() -> None:
    ours, its = os.pipe()
    with os.fdopen(its, "w") as stream:
        outlet = Outlet(stream)
        outlet.write("x" * 100_000)

        assert not outlet.drain(0.05)
        os.close(ours)
        assert outlet.drain(5)


def test_a_reader_that_is_gone_is_no_error_of_the_writer() -> None:
    ours, its = os.pipe()
    os.close(ours)
    with os.fdopen(its, "w") as stream:
        outlet = Outlet(stream)
        outlet.write("anybody?\n")

        assert outlet.drain(5)
        assert isinstance(outlet.failure, BrokenPipeError)


def test_outlets_stand_in_for_both_streams_and_give_them_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with Outlets() as outlets:
        print("a result")
        print("progress", file=sys.stderr)
        assert (sys.stdout, sys.stderr) == (outlets.out, outlets.err)

    assert (sys.stdout, sys.stderr) == before
    said = capsys.readouterr()
    assert (said.out, said.err) == ("a result\n", "progress\n")
