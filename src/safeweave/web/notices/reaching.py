"""Whom we may call: machines out in the world over TLS, never our own network unless a setting allows it.

A name is looked up once and every address it has is checked; the call then goes to one of these, so that a name which
says something else a moment later leads nowhere. Nothing is followed elsewhere.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import httpx

from safeweave.asking import trusting
from safeweave.errors import Malformed, Unavailable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST = 500  # characters of an address
_LATER = (408, 425, 429)
# Ways to write an IPv4 address as an IPv6 one, and so to a private network.
_WRAPPED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("2002::/16"), ipaddress.ip_network("2001::/32"))


class Refused(Exception):
    """This call will never be taken; its text says why."""


def networks(text: str) -> tuple[Network, ...]:
    """The networks of a setting such as "127.0.0.0/8,10.1.0.0/16". Raises Malformed."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise Malformed(str(error), field="subscribers_private") from None


def is_allowed(address: Address, private: Sequence[Network]) -> bool:
    """Whether we may call this address: a public one, or one in these networks."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in private if network.version == address.version):
        return True
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _WRAPPED if network.version == address.version)
    )


def check(endpoint: str, private: Sequence[Network]) -> None:
    """Refuse what can be seen to be wrong without looking up a name. Raises Malformed."""
    field = "channel.endpoint"
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Malformed(f"it is no address: {error}", field=field) from None
    if len(endpoint) > LONGEST or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint or not host:
        raise Malformed(f"an address of at most {LONGEST} ASCII characters is taken", field=field)
    if parts.username is not None or parts.fragment or port == 0:
        raise Malformed("it names a user, a fragment or no port; say who we are in channel.header", field=field)
    literal = _literal(host)
    is_loopback = host == "localhost" or (literal is not None and literal.is_loopback)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback):
        raise Malformed("only https is called, but for this machine itself", field=field)
    if literal is not None and not is_allowed(literal, private):
        raise Malformed("it lies in a private network; the setting SUBSCRIBERS_PRIVATE allows some", field=field)


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def post(endpoint: str, headers: Mapping[str, str], content: bytes, seconds: float, private: Sequence[Network]) -> int:
    """The status of 2xx with which this was taken, in so much time in all.

    Raises Unavailable if it may be taken later, Refused if never.
    """
    return asyncio.run(_post(endpoint, headers, content, seconds, private))


async def _post(
    endpoint: str, headers: Mapping[str, str], content: bytes, seconds: float, private: Sequence[Network]
) -> int:
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    try:
        async with asyncio.timeout(seconds):
            address = await _address(host, parts.port or (443 if parts.scheme == "https" else 80), private)
            where = f"[{address}]" if address.version == 6 else str(address)
            url = parts._replace(netloc=where + (f":{parts.port}" if parts.port else "")).geturl()
            shown = {**headers, "host": parts.netloc}
            async with (
                httpx.AsyncClient(timeout=seconds, trust_env=False, follow_redirects=False, verify=trusting()) as http,
                http.stream("POST", url, headers=shown, content=content, extensions={"sni_hostname": host}) as answer,
            ):
                status = answer.status_code
    except TimeoutError:
        raise Unavailable(f"no answer in {seconds:g} s") from None
    except (httpx.TransportError, OSError) as silent:
        raise Unavailable(f"{type(silent).__name__}") from None
    if status in _LATER or status >= 500:
        raise Unavailable(f"HTTP {status}")
    if not 200 <= status < 300:
        raise Refused(f"HTTP {status}")
    return status


async def _address(host: str, port: int, private: Sequence[Network]) -> Address:
    """An address of this host, if we may call every one it has. Raises Refused, OSError if there is none now."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]
    if not all(is_allowed(address, private) for address in addresses):
        raise Refused("its name leads to a private network; the setting SUBSCRIBERS_PRIVATE allows some")
    return addresses[0]
