"""Weights of the hub, from a server of our own on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from launch.hub import hub_file, read_hub_name

CONTENT = b"weights" * 1000
NAME = "hf-hub:timm/rexnet_100.nav_in1k"
SECRET = "hf_abcdefghijklmnop"


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does: the file's address tells its checksum and leads to another one."""

    asked: ClassVar[list[tuple[str, dict[str, str]]]] = []
    ending: ClassVar[str] = ""

    def do_GET(self) -> None:
        Hub.asked.append((self.path, dict(self.headers)))
        if self.path == "/storage":
            whole = len(CONTENT) + (Hub.ending == "short")
            self.send_response(200)
            self.send_header("Content-Length", str(whole))
            self.end_headers()
            self.wfile.write(CONTENT if Hub.ending != "other" else CONTENT[::-1])
        elif self.path == "/timm/rexnet_100.nav_in1k/resolve/main/model.safetensors":
            self.send_response(302)
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
            self.send_header("Location", "/storage")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_error(401)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", f"{address}/")
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("REXNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Hub, "asked", [])
    monkeypatch.setattr(Hub, "ending", "")
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def left(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.name != ".lock"]


def test_a_file_is_fetched_once_and_its_checksum_said(tmp_path: Path) -> None:
    said: list[str] = []
    file = hub_file(NAME, say=said.append)
    assert file.read_bytes() == CONTENT and file.is_relative_to(tmp_path / "cache")
    assert len(said) == 1 and hashlib.sha256(CONTENT).hexdigest() in said[0] and NAME in said[0]
    assert hub_file(NAME, say=said.append) == file and len(said) == 1 and len(Hub.asked) == 2
    assert left(tmp_path) == ["model.safetensors"]
    told = repr(Hub.asked) + repr(said) + file.parent.joinpath(".lock").read_text()
    assert SECRET not in told and "authorization" not in told.lower()


def test_other_processes_of_the_machine_wait_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    found: list[Path] = []
    waiting = threading.Thread(target=lambda: found.append(hub_file(NAME, say=print)))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive() and not Hub.asked
    monkeypatch.setenv("LOCAL_RANK", "0")
    file = hub_file(NAME, say=lambda line: None)
    waiting.join(10)
    assert found == [file] and len(Hub.asked) == 2


@pytest.mark.parametrize(
    ("ending", "wanted"),
    [
        ("short", r"cannot be fetched from 127\.0\.0\.1:\d+ \(IncompleteRead"),
        ("other", "told sha256 .* but what came"),
    ],
)
def test_what_is_not_whole_is_not_kept(ending: str, wanted: str, tmp_path: Path) -> None:
    Hub.ending = ending
    with pytest.raises(ValueError, match=wanted):
        hub_file(NAME, say=print)
    assert left(tmp_path) == []


def test_without_the_hub_it_says_what_to_do(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand = "https://huggingface.co/timm/rexnet_100.nav_in1k/resolve/v2%2Fx/model.safetensors"
    with pytest.raises(ValueError, match=r"HTTP 401\); check the name"):
        hub_file("hf-hub:timm/none", say=print)
    monkeypatch.setenv("HF_ENDPOINT", "http://me:secret@127.0.0.1:9")
    with pytest.raises(ValueError, match=r"cannot be fetched from 127\.0\.0\.1:9 \(") as caught:
        hub_file(f"{NAME}@v2/x", say=print)
    assert by_hand in str(caught.value) and "secret" not in str(caught.value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set"):
        hub_file(NAME, say=print)
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", ["hf-hub:", "hf-hub:timm", "hf-hub:a/b/c", "hf-hub:../..", "hf-hub:a/b c"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="wanted is hf-hub:OWNER/NAME"):
        read_hub_name(name)
