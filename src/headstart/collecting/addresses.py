"""Which machines may be asked for a picture: no list may reach into the local net."""

from __future__ import annotations

import ipaddress
import socket

from headstart.collecting.limits import FailedError, RefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, also where it is wrapped into IPv6.

    Source: the IANA registries of special addresses, as the standard library holds them.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def resolve(host: str, port: int, *, allow_private: bool = False) -> tuple[str, ...]:
    """The addresses of a host; connect to these and not to the name, which could resolve anew.

    Args:
        host: a name or an address, without brackets.
        port: TCP port.
        allow_private: also addresses of the local net and of this machine.

    Raises:
        FailedError: the name is not known, which may be the fault of this machine's connection.
        RefusedError: one of its addresses is not public.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FailedError(f"host '{host}' is not known: {error}") from error
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        # A scope ("fe80::1%eth0") says which interface, not which address.
        if not allow_private and not is_public(ipaddress.ip_address(address.split("%")[0])):
            raise RefusedError(
                f"host '{host}' has the address {address}, which is not public; "
                "`--allow-private` permits it"
            )
    return addresses
