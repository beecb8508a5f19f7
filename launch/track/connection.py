"""Whether a server answers at all: asked before a client that would wait for long."""

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


def reachable(url: str, *, timeout: float) -> bool:
    """Whether a connection to the server of `url` opens in `timeout` seconds; behind a proxy always True."""
    parts = urlsplit(url)
    if parts.hostname is None:
        return False
    if parts.scheme in getproxies() and not proxy_bypass(parts.hostname):
        return True
    try:
        with socket.create_connection(
            (parts.hostname, parts.port or {"http": 80}.get(parts.scheme, 443)), timeout
        ):
            return True
    except OSError:
        return False
