"""The address that the other machines of a job are told."""

import socket
import subprocess
import sys
from typing import Any

import pytest

from launch.address import address_towards
from tests.launch.program import REPOSITORY


@pytest.mark.parametrize(
    ("own", "told"),
    [("10.1.0.7", "10.1.0.7"), ("127.0.1.1", "head"), ("::1", "head"), ("fe80::7%eth0", "fe80::7%eth0")],
)
def test_it_leads_to_the_machine_and_not_to_whoever_asks(
    own: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Way:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> "Way":
            return self

        def __exit__(self, *_: object) -> None: ...
        def connect(self, place: tuple[str, int]) -> None:
            assert place == ("10.1.0.1", 9)

        def getsockname(self) -> tuple[str, int]:
            return own, 40000

    def found(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("10.1.0.1", 9))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(socket, "socket", Way)
    assert address_towards("head") == told


@pytest.mark.parametrize(("host", "code", "out"), [("localhost", 0, "localhost\n"), ("no host", 1, "")])
def test_as_a_program(host: str, code: int, out: str) -> None:
    program = str(REPOSITORY / "launch" / "address.py")
    done = subprocess.run([sys.executable, program, host], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, out)
    assert not code or done.stderr.startswith("address.py: no host: ")
