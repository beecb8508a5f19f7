"""The address under which the machines of a job reach this one: `python launch/address.py HOST`. No torch.

A machine's own name does not always serve: the others' DNS may lack it, and its hosts file may say localhost.
"""

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


if __name__ == "__main__":
    try:
        print(address_towards(sys.argv[1]))
    except OSError as error:
        sys.exit(f"address.py: {sys.argv[1]}: {error}")
