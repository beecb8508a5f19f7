"""Weights of the Hugging Face Hub: `hf-hub:OWNER/NAME`, fetched once into the cache folder. No torch."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pipeline.cache import cache_folder, lock

PREFIX = "hf-hub:"
"""What names of the hub begin with."""

_ENDPOINT = "https://huggingface.co"
_FILE = "model.safetensors"
_TIMEOUT = 20.0  # seconds in which the hub must say something
_PATIENCE = 1800.0  # seconds that the other processes of a machine wait for the one that fetches
_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class HubName:
    """A repository of the hub, at a revision: `hf-hub:OWNER/NAME` or `hf-hub:OWNER/NAME@REVISION`."""

    repository: str
    revision: str

    @property
    def address(self) -> str:
        """Of its file, at $HF_ENDPOINT where that is set."""
        endpoint = os.environ.get("HF_ENDPOINT") or _ENDPOINT
        return f"{endpoint.rstrip('/')}/{self.repository}/resolve/{quote(self.revision, safe='')}/{_FILE}"

    @property
    def host(self) -> str:
        """Who is asked, without what may stand before an @."""
        return urlsplit(self.address).netloc.rpartition("@")[2]


def read_hub_name(named: str) -> HubName:
    """Returns what `hf-hub:OWNER/NAME[@REVISION]` says.

    Raises:
        ValueError: it says something else.
    """
    repository, _, revision = named.removeprefix(PREFIX).partition("@")
    if not _NAME.fullmatch(repository) or any(set(part) == {"."} for part in repository.split("/")):
        raise ValueError(
            f"{named} names no repository of the hub; wanted is {PREFIX}OWNER/NAME, as in "
            f"{PREFIX}timm/rexnet_100.nav_in1k"
        )
    return HubName(repository, revision or "main")


def hub_file(named: str, *, flag: str = "--weights", say: Callable[[str], None]) -> Path:
    """Returns the file of a hub name, from the cache folder or, the first time, from the hub.

    One process of a machine fetches, the others wait. No token is sent: weights must be public.

    Args:
        flag: what was typed before the name.

    Raises:
        ValueError: the hub cannot be reached, has no such file, or gave another one than it told.
    """
    name = read_hub_name(named)
    folder = cache_folder() / "hub" / name.repository.replace("/", "--") / quote(name.revision, safe="")
    file = folder / _FILE
    if file.is_file():
        return file
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return _wait_for(file)
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / ".lock", say=say, waiting=f"waiting for another process, which fetches {named}"):
        if not file.is_file():
            _fetch(name, file, flag=flag, say=say)
    return file


def _fetch(name: HubName, file: Path, *, flag: str, say: Callable[[str], None]) -> None:
    """Brings a file of the hub into its place, whole or not at all."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise ValueError(
            f"{_named(name)} is not in the cache yet, and HF_HUB_OFFLINE is set; unset it, "
            f"or {_by_hand(name, flag)}"
        )
    fresh = file.with_name(f".{_FILE}.{os.getpid()}.tmp")
    try:
        digest, size = _download(name, fresh)
        fresh.replace(file)
    except HTTPError as error:
        known = error.code in (401, 403, 404)
        what = f"has no {_FILE} for everybody of that name" if known else "refuses"
        raise ValueError(
            f"{_named(name)}: {name.host} {what} (HTTP {error.code}); check the name, "
            f"or {_by_hand(name, flag)}"
        ) from None
    except (URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        told = str(reason) or type(reason).__name__
        raise ValueError(
            f"{_named(name)} cannot be fetched from {name.host} ({told}); {_by_hand(name, flag)}"
        ) from None
    finally:
        fresh.unlink(missing_ok=True)
    say(f"fetched {_named(name)} from {name.host}, {size / 1e6:.1f} MB, sha256 {digest}, into {file}")


def _download(name: HubName, fresh: Path) -> tuple[str, int]:
    """Writes the hub's file to `fresh`; returns its SHA-256 and bytes."""
    redirects = _Redirects()
    request = Request(name.address, headers={"User-Agent": "rexnet"})
    digest, size = hashlib.sha256(), 0
    with build_opener(redirects).open(request, timeout=_TIMEOUT) as answer, fresh.open("wb") as out:
        while block := answer.read(1 << 20):
            digest.update(block)
            size += out.write(block)
        out.flush()
        os.fsync(out.fileno())
        wanted = answer.headers.get("Content-Length")
        told = redirects.told or answer.headers.get("X-Linked-ETag")
    if wanted is not None and size != int(wanted):
        raise http.client.IncompleteRead(b"", int(wanted) - size)
    found = digest.hexdigest()
    told = (told or "").strip('"')
    if re.fullmatch(r"[0-9a-f]{64}", told) and told != found:
        raise ValueError(
            f"{_named(name)}: {name.host} told sha256 {told}, but what came has {found}; start the same "
            "command again"
        )
    return found, size


class _Redirects(HTTPRedirectHandler):
    """Keeps the checksum that the hub tells beside the address of its storage."""

    told: str | None = None

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # the base class's names
        self.told = self.told or headers.get("X-Linked-ETag")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _wait_for(file: Path) -> Path:
    """Returns the file once this machine's first process has brought it; its end ends this process, too."""
    deadline = time.monotonic() + _PATIENCE
    while not file.is_file():
        if time.monotonic() > deadline:
            raise ValueError(f"{file} has not been fetched in {_PATIENCE / 60:.0f} minutes")
        time.sleep(0.1)
    return file


def _named(name: HubName) -> str:
    return f"{PREFIX}{name.repository}" + (f"@{name.revision}" if name.revision != "main" else "")


def _by_hand(name: HubName, flag: str) -> str:
    page = f"{_ENDPOINT}/{name.repository}/resolve/{quote(name.revision, safe='')}/{_FILE}"
    return f"download {page} where there is a network, and name that file: {flag} FILE"
