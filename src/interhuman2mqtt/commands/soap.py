"""Read SOAP from devices that nobody vouches for."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

LONGEST = 200
"""Characters of a name that are shown."""


class Address(NamedTuple):
    """The parts that are used of a URL that a device names."""

    scheme: str
    host: str
    port: int | None
    path: str


class NotSoap(Exception):  # noqa: N818 - it names what happened
    """It is no XML, or XML that could make more of itself than it is."""


def parse(document: bytes) -> ET.Element:
    """Return the root; raises NotSoap."""
    if b"<!" in document.replace(b"<!--", b"").replace(b"<![CDATA[", b""):  # DOCTYPE and ENTITY have no place in SOAP
        raise NotSoap("it defines entities")
    try:
        return ET.fromstring(document)  # noqa: S314 - what makes the parser dangerous was refused above
    except (ET.ParseError, ValueError, LookupError) as error:
        raise NotSoap(str(error)) from None


def every(root: ET.Element, name: str) -> Iterator[ET.Element]:
    """Return all elements of a name, whatever their namespace: devices get prefixes and versions wrong."""
    return (element for element in root.iter() if element.tag.rpartition("}")[2] == name)


def first(root: ET.Element | None, *path: str) -> ET.Element | None:
    """Return the first element at the end of a path of names, each anywhere below the one before it."""
    for name in path:
        root = None if root is None else next(every(root, name), None)
    return root


def text(root: ET.Element | None, *path: str) -> str:
    """Return its text; empty where there is none."""
    element = first(root, *path)
    return "" if element is None else (element.text or "").strip()


def number(root: ET.Element | None, *path: str) -> float:
    """Return its text as a number; 0 where it is none."""
    try:
        return float(text(root, *path))
    except ValueError:
        return 0.0


def printable(text_found: str) -> str:
    """Return what a device says of itself so that it can be shown: no control character reaches a terminal."""
    return "".join(character for character in text_found if character.isprintable())[:LONGEST]


def split(address: str) -> Address:
    """Return the parts of a URL; empty ones where it cannot be read."""
    try:
        parts = urlsplit(address)
        return Address(parts.scheme, parts.hostname or "", parts.port, parts.path)
    except ValueError:
        return Address("", "", None, "")
