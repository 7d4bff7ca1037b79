"""Ports of this machine for what a command or a test starts."""

import itertools
import os
import socket

# Below the ports that systems lend to outgoing connections (RFC 6335 from 49152, Linux from 32768), so that what is
# stopped for a while finds its port free again. Each process begins elsewhere, and those started one after the other
# far apart (the golden section of all there are), so that none comes to what another has stopped for a while.
_FIRST, _COUNT = 20_000, 12_000
_places = itertools.count(os.getpid() * 7_417)


def free_port(wanted: int = 0) -> int:
    """A port nobody listens at now: the wanted one if it is such a one, else one this process gave to nobody yet."""
    places = itertools.islice(_places, _COUNT)
    for port in itertools.chain([wanted] if wanted else [], (_FIRST + place % _COUNT for place in places)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
