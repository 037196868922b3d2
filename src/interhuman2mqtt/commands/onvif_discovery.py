"""Find ONVIF cameras on the network by WS-Discovery: one question by multicast on each interface, answers by unicast.

The package WSDiscovery was looked at and not taken: it is LGPL, its threads die with a traceback where an interface has
no route, and it joins the multicast group, behind which some switches then hide the answers (its issues 37, 40, 52).

Sources: WS-Discovery 1.0 (http://schemas.xmlsoap.org/ws/2005/04/discovery), ONVIF Core Specification, 7.3.
"""

import socket
import struct
import uuid
from collections.abc import Iterator
from urllib.parse import unquote

import trio
from msgspec import Struct

from interhuman2mqtt.commands import soap

GROUP, PORT = "239.255.255.250", 3702
DATAGRAM_MAX = 65507
ANSWERS_MAX = 1000
"""More are no cameras, but somebody who shouts."""
REPEAT_S = 0.5
"""A datagram may be lost: the question is asked twice."""
SCOPE = "onvif://www.onvif.org/"
QUESTION = """<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:n="http://www.onvif.org/ver10/network/wsdl">
<s:Header><a:MessageID>urn:uuid:{id}</a:MessageID><a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>
<a:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action></s:Header>
<s:Body><d:Probe><d:Types>n:NetworkVideoTransmitter</d:Types></d:Probe></s:Body></s:Envelope>"""


class NetworkCamera(Struct, frozen=True):
    """A camera that answered."""

    host: str
    """Where the answer came from, whatever it says: what `--host` takes, with a port where that is not 80."""
    name: str
    hardware: str
    address: str
    """Its ONVIF service, as it says."""


async def find_cameras(seconds: float) -> list[NetworkCamera]:
    """Return those that answer within so long, by address; none is spoken to any further."""
    found: dict[str, NetworkCamera] = {}
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for index, name in socket.if_nameindex():
                if name != "lo":
                    nursery.start_soon(_probe, index, found)
            await trio.sleep_forever()
    return sorted(found.values(), key=lambda camera: (len(camera.host), camera.host))


async def _probe(interface: int, found: dict[str, NetworkCamera]) -> None:
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", interface))
        question = QUESTION.format(id=uuid.uuid4()).encode()
        try:
            await sock.sendto(question, (GROUP, PORT))
            with trio.move_on_after(REPEAT_S):
                await _listen(sock, found)
            await sock.sendto(question, (GROUP, PORT))
            await _listen(sock, found)
        except OSError:  # the interface is down, or has no address: nobody can answer there
            return


async def _listen(sock: trio.socket.SocketType, found: dict[str, NetworkCamera]) -> None:
    while len(found) < ANSWERS_MAX:
        answer, (host, *_) = await sock.recvfrom(DATAGRAM_MAX)
        for camera in answered(answer, host):
            found[camera.host] = camera


def _host(address: str, host: str) -> str:
    """Return what `--host` takes for a camera: scheme and port where they are not the usual ones."""
    scheme, _, port, _ = soap.split(address)
    named = host if port in {None, 80} else f"{host}:{port}"
    return f"https://{named}" if scheme == "https" else named


def answered(answer: bytes, host: str) -> Iterator[NetworkCamera]:
    """Return the cameras of one datagram; none where it is nothing that we asked for."""
    try:
        body = soap.parse(answer)
    except soap.NotSoap:
        return
    for match in soap.every(body, "ProbeMatch"):
        addresses = soap.text(match, "XAddrs").split()
        scopes = [unquote(scope.removeprefix(SCOPE)) for scope in soap.text(match, "Scopes").split()]
        facets = dict(scope.split("/", 1) for scope in scopes if "/" in scope)
        address = next((each for each in addresses if soap.split(each).host == host), "".join(addresses[:1]))
        yield NetworkCamera(
            host=_host(address, host),
            name=soap.printable(facets.get("name", "")),
            hardware=soap.printable(facets.get("hardware", "")),
            address=soap.printable(address),
        )
