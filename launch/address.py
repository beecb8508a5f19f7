"""The address under which the machines of a job reach this one: `python launch/address.py HOST`. No torch.

A machine's own name does not always serve: the others' DNS may lack it, and its hosts file may say localhost.
"""

import argparse
import ipaddress
import socket
import sys


def address_towards(host: str) -> str:
    """Returns the address that this machine has on its way to `host`, where the job's machines meet.

    On that machine itself the way may be a loopback, which nobody else can take; then it is `host`, by which
    the others find it.

    Raises:
        OSError: there is no such host, or no way to it.
    """
    family, kind, protocol, _, place = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as way:
        way.connect(place)  # of a datagram socket: nothing is sent
        found = way.getsockname()[0]
    return host if ipaddress.ip_address(found.partition("%")[0]).is_loopback else found


def main(argv: list[str]) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="launch/address.py", description=__doc__)
    parser.add_argument("host", help="where the job's machines meet")
    host = parser.parse_args(argv).host
    try:
        print(address_towards(host))
    except OSError as error:
        print(f"address.py: {host}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
