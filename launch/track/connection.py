"""Whether a server answers at all: asked before a client that would wait for long."""

import socket
import threading
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass


def reachable(url: str, *, timeout: float) -> bool:
    """Whether a connection to the server of `url`, or to the proxy before it, opens in `timeout` seconds.

    The name's look-up counts, which has no limit of its own: it may be left behind in a thread.
    """
    parts = urlsplit(url)
    if parts.hostname is None:
        return False
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.hostname):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    answered: list[bool] = []
    thread = threading.Thread(target=lambda: answered.append(_opens(parts, timeout)), daemon=True)
    thread.start()
    thread.join(timeout)
    return answered == [True]


def _opens(parts: SplitResult, timeout: float) -> bool:
    try:
        port = parts.port or {"http": 80}.get(parts.scheme, 443)
        with socket.create_connection((parts.hostname, port), timeout):
            return True
    except (OSError, ValueError):
        return False
