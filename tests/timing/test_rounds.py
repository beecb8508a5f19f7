"""Timing in turns, ratios of pairs, promises, and programs watched from outside."""

import sys
import time
from pathlib import Path

import pytest

from launch.timing.program import Watched
from launch.timing.promises import broken
from launch.timing.rounds import Spread, plain, ratios, table, take_turns


def spreads(**figures: list[float]) -> dict[str, Spread]:
    return {name.replace("_", " "): Spread(values=tuple(values)) for name, values in figures.items()}


def test_every_second_round_goes_backwards_and_the_first_does_not_count() -> None:
    order: list[str] = []

    def way(name: str):
        def turn() -> dict[str, float]:
            order.append(name)
            return {"s": float(len(order))}

        return turn

    said: list[str] = []
    measured = take_turns({"a": way("a"), "b": way("b")}, rounds=2, say=said.append)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert said[:3] == ["warm-up  a: 1 s", "warm-up  b: 2 s", "round 1 of 2  b: 3 s"] and len(said) == 6
    assert measured["a"]["s"].values == (4.0, 5.0) and measured["b"]["s"].values == (3.0, 6.0)

    order.clear()
    measured = take_turns({"a": way("a"), "b": way("b")}, rounds=1, say=said.append, warmup=False)
    assert order == ["b", "a"] and measured["a"]["s"].values == (2.0,)


def test_ratios_are_of_pairs_that_met_the_same_machine() -> None:
    measured = {"ours": spreads(rate=[10, 4, 9]), "theirs": spreads(rate=[5, 2, 3])}
    assert ratios(measured, "rate", of="ours", to="theirs").values == (2.0, 2.0, 3.0)
    assert str(ratios(measured, "rate", of="ours", to="theirs")) == "2 (2 to 3)"


def test_a_table_of_ways_that_measure_different_things() -> None:
    measured = {"a": spreads(rate=[1, 3, 2]), "b": spreads(memory=[5.0])}
    assert table(measured).splitlines() == [
        "|  | rate | memory |",
        "| --- | --- | --- |",
        "| a | 2 (1 to 3) | - |",
        "| b | - | 5 |",
    ]
    assert plain(measured)["a"]["rate"] == {"median": 2, "rounds": [1, 3, 2]}


def test_a_table_compares_with_the_first_way() -> None:
    measured = {name: {"images/s": Spread(values=v)} for name, v in (("a", (10.0, 20.0)), ("b", (5.0, 5.0)))}
    assert table(measured).splitlines() == [
        "|  | images/s | times a |",
        "| --- | --- | --- |",
        "| a | 15 (10 to 20) | 1 |",
        "| b | 5 | 0.375 (0.25 to 0.5) |",
    ]


def beside_timm(*, speed: float, memory: float):
    return {
        "this repo": {
            "images/s": Spread(values=(100 * speed,)),
            "peak memory MiB": Spread(values=(1000 * memory,)),
        },
        "timm": {"images/s": Spread(values=(100.0,)), "peak memory MiB": Spread(values=(1000.0,))},
    }


@pytest.mark.parametrize(
    ("mode", "measured", "words"),
    [
        ("train", {"train": {"data wait %": Spread(values=(1.9,))}}, []),
        ("train", {"train": {"data wait %": Spread(values=(2.1,))}}, ["waits 2.1 % for data"]),
        ("train", beside_timm(speed=1.31, memory=0.9), []),
        ("train", beside_timm(speed=1.29, memory=0.9), ["1.29 times as fast as timm, promised: 1.3"]),
        ("train", beside_timm(speed=1.4, memory=1.1), ["1.1 times the memory of timm"]),
        ("scale", {"one": spreads(images=[1]) | {"images/s": Spread(values=(10.0,))}}, []),
        ("scale", {n: {"images/s": Spread(values=(v,))} for n, v in (("1", 10.0), ("2", 8.6))}, []),
        (
            "scale",
            {n: {"images/s": Spread(values=(v,))} for n, v in (("1", 10.0), ("2", 8.4))},
            ["0.84 times"],
        ),
        ("input", {"way": {"images/s": Spread(values=(1.0,))}}, []),
    ],
)
def test_promises(mode: str, measured, words: list[str]) -> None:
    found = broken(mode, measured)
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


def program(*lines: str) -> list[str]:
    return [sys.executable, "-u", "-c", "\n".join(lines)]


def test_a_program_is_told_to_end_at_the_moment_and_its_memory_is_weighed() -> None:
    watched = Watched(
        program(
            "import time",
            "held = bytearray(80 * 2**20)",
            "time.sleep(0.8)",
            "print('ready')",
            "time.sleep(60)",
        ),
        until=lambda run: run.time_of("ready") is not None,
    )
    assert 0.8 <= watched.seconds < 30 and watched.memory_mib > 80
    assert watched.time_of("never") is None


def test_a_program_that_fails_is_told_with_its_last_lines() -> None:
    with pytest.raises(RuntimeError, match="it broke\nit ended with 3"):
        Watched(program("import sys", "print('it broke', flush=True)", "sys.exit(3)"))


def test_a_program_that_takes_too_long_leaves_nothing_behind(tmp_path: Path) -> None:
    child = "import os,sys,time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    lines = [
        "import subprocess, sys",
        f"subprocess.run([sys.executable, '-c', {child!r}, {str(tmp_path / 'pid')!r}])",
    ]
    with pytest.raises(RuntimeError, match="more than 3 s"):
        Watched(program(*lines), timeout=3)
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/status")
    end = time.monotonic() + 10
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
