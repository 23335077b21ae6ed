"""An address, and what of it may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from tuner.errors import InputError

GLOB = frozenset("*?[")
"""Characters of a pattern."""
SHOWN = ("table", "column", "collection", "vector")
"""Parameters that name what is read; any other may be a password or a signature."""


@dataclass(frozen=True, repr=False)
class Address:
    """An address in parts.

    Attributes:
        source: the address as the user gave it, which may hold a password.
        scheme: what stands before ``://``, in lower case.
        host: host and port.
        path: path, unquoted.
        asked: parameters by name.
    """

    source: str
    scheme: str
    host: str
    path: str
    asked: dict[str, str]

    def __repr__(self) -> str:
        return f"<Address {self.shown}>"

    @classmethod
    def of(cls, source: str) -> Address:
        """Return the parts of an address.

        Raises:
            InputError: it is none.
        """
        try:
            parts = urlsplit(without_login(source))
            asked = dict(parse_qsl(parts.query))
            return cls(source, parts.scheme.lower(), parts.netloc, unquote(parts.path), asked)
        except ValueError:
            raise InputError(
                "the address is none that can be read: check its brackets and its port"
            ) from None

    @property
    def shown(self) -> str:
        """The address without user, password, signature and fragment."""
        named = {name: value for name, value in self.asked.items() if name in SHOWN}
        return f"{self.scheme}://{self.host}{self.path}" + (f"?{urlencode(named)}" if named else "")

    @property
    def name(self) -> str:
        """Name of the table, the collection or the file."""
        path = PurePosixPath(self.path)
        inner = path.stem if GLOB.isdisjoint(path.name) else path.parent.name
        return self.asked.get("table") or self.asked.get("collection") or inner or self.host

    def without(self, *names: str) -> str:
        """Return the address as given, without some of its parameters."""
        plain = without_login(self.source)
        body, _, query = plain.partition("://")[2].partition("?")
        left = urlencode([(name, value) for name, value in parse_qsl(query) if name not in names])
        return f"{self.source.removesuffix(plain.partition('://')[2])}{body}" + (f"?{left}" if left else "")


def without_login(source: str) -> str:
    """Return an address without user and password, whatever characters a password has that it should not.

    >>> without_login("postgresql://me:a/b?c@d@host/db"), without_login("s3://bucket/x@y.npy")
    ('postgresql://host/db', 's3://bucket/x@y.npy')
    """
    scheme, mark, rest = source.partition("://")
    first = rest.partition("/")[0]
    # what follows the last @ is shown where a login could stand before it
    shown = rest.rpartition("@")[2] if "@" in first or ":" in first else rest
    return f"{scheme}{mark}{shown}"
