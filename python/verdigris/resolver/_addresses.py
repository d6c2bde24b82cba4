"""Telling addresses from names."""

import _socket


def is_ipv4_addr(host):
    """Whether *host* is an IPv4 address in dotted form."""
    return _parses(_socket.AF_INET, host)


def is_ipv6_addr(host):
    """Whether *host* is an IPv6 address; a zone (``%eth0``) may follow."""
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    return isinstance(host, str) and _parses(_socket.AF_INET6, host.partition("%")[0])


def _parses(family, host):
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    if not isinstance(host, str):
        return False
    try:
        _socket.inet_pton(family, host)
    except (OSError, ValueError):
        return False
    return True
