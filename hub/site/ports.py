"""The addresses that a site listens at: no two may be one, and none may be another program's."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from hub.connectors.settings import TcpEndpoint
from hub.core.errors import HubError
from hub.site.findings import Finding
from hub.site.load import Site, load_running
from hub.site.lock import running_pid

_EVERY_INTERFACE = frozenset({"", "0.0.0.0", "[::]", "::"})  # noqa: S104  nothing is bound here
_LOOPBACK = "127.0.0.1"
TAKEN = "is taken"
"""What is said of an address at which another program listens."""


@dataclass(frozen=True, slots=True)
class Listening:
    """One address of a site, what listens there, and where that is said (*column* and *line* 0: nowhere)."""

    address: TcpEndpoint
    what: str
    file: str
    line: int
    column: int

    def meets(self, other: Listening) -> bool:
        """Whether the two cannot both listen."""
        hosts = {self.address.host, other.address.host}
        return self.address.port == other.address.port and (len(hosts) == 1 or bool(hosts & _EVERY_INTERFACE))

    def finding(self, code: str, sentence: str, fix: str, *, warning: bool = False) -> Finding:
        """A finding about this address."""
        return Finding(self.file, self.line, self.column, code, "warning" if warning else "error", sentence, fix)


def listening(site: Site) -> Iterator[Listening]:
    """Every address at which *site* listens and that its files choose: not those that the kernel chooses."""
    if site.settings is not None:
        host, _, port = site.settings.web.listen.removeprefix("tcp:").rpartition(":")
        if int(port):
            yield Listening(TcpEndpoint(host or _LOOPBACK, int(port)), "the pages", "config/hub.toml", 0, 0)
    for channel in (*site.channels.values(), *site.unsound):
        several = isinstance(channel.file.data["source"], list)
        for number, (_, settings) in enumerate(channel.sources):
            address = getattr(settings, "listen", None)
            if isinstance(address, TcpEndpoint) and address.port:
                key = ("source", number, "listen") if several else ("source", "listen")
                yield Listening(address, channel.name, channel.file.name, *channel.file.place(key))


def double_ports(site: Site) -> Iterator[Finding]:
    """The addresses that are given to two."""
    before: list[Listening] = []
    for one in listening(site):
        if first := next((other for other in before if one.meets(other)), None):
            sentence = f"{one.address.shown} is already where {first.what} listens ({first.file})."
            yield one.finding("H232", sentence, "Give one of them another port.")
        before.append(one)


def taken_ports(site: Site) -> Iterator[Finding]:
    """The addresses at which another program listens now, found by opening each for a moment.

    Those of this site's own hub, when it runs, are its own.
    """
    own = set[TcpEndpoint]()
    if running_pid(site.home) is not None:
        try:
            own = {one.address for one in listening(load_running(site.home))}
        except HubError:
            return
    for one in listening(site):
        if one.address not in own and refusal(one.address) == TAKEN:
            sentence = f"Another program listens at {one.address.shown} on this machine."
            yield one.finding("H233", sentence, "End it, or choose another port.", warning=True)


def refusal(address: TcpEndpoint) -> str:
    """Why nobody could listen at *address* now: ``is taken``, or other words; empty when one could."""
    host = address.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, address.port))
        except OSError as error:
            return TAKEN if error.errno == errno.EADDRINUSE else f"cannot be listened at: {error.strerror}"
    return ""
