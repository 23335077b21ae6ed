"""The extras of the package: what each consists of, and what of it is not installed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tuner.errors import InputError

PACKAGE = "vector-index-tuner"
OF_EXTRA = re.compile(r"extra == ['\"]([\w-]+)['\"]")


@dataclass(frozen=True)
class Extra:
    """An extra of the package.

    Attributes:
        requirements: what pip would install for it alone.
        parts: other extras that it consists of.
    """

    name: str
    requirements: tuple[str, ...]
    parts: tuple[str, ...]


def leaves(known: dict[str, Extra], name: str) -> tuple[str, ...]:
    """Return the extras that one consists of, itself if of none.

    Raises:
        InputError: there is no such extra.
    """
    if name not in known:
        raise InputError(f"there is no extra {name!r}: there are {', '.join(sorted(known))}")
    parts = known[name].parts
    return tuple(leaf for part in parts for leaf in leaves(known, part)) if parts else (name,)


def requires_of(package: str) -> list[str]:
    """Return what the installed package says that it requires.

    Raises:
        InputError: it is not installed, so that its extras are not known.
    """
    try:
        return requires(package) or []
    except PackageNotFoundError:
        raise InputError(f"{package} is not installed here: pip install . in its checkout") from None


def extras_of(lines: list[str]) -> list[Extra]:
    """Return the extras that requirements name, in their order.

    >>> extras_of(["numpy>=1", "h5py>=3; extra == 'formats'", "numpy; extra == 'x'"])[0]
    Extra(name='formats', requirements=('h5py>=3',), parts=())
    """
    found: dict[str, tuple[list[str], list[str]]] = {}
    for line in lines:
        wanted = Requirement(line)
        extra = OF_EXTRA.search(str(wanted.marker))
        if extra is None:
            continue
        own, parts = found.setdefault(extra[1], ([], []))
        if canonicalize_name(wanted.name) == PACKAGE:
            parts += sorted(wanted.extras)
        else:
            wanted.marker = None
            own.append(str(wanted))
    return [Extra(name, tuple(own), tuple(parts)) for name, (own, parts) in found.items()]


def missing_of(extra: Extra) -> list[str]:
    """Return the requirements of an extra that no installed package meets."""
    return [wanted for wanted in extra.requirements if not is_met(wanted)]


def is_met(requirement: str) -> bool:
    """Return whether a package is installed in a version that a requirement asks for.

    >>> is_met("numpy>=1.0"), is_met("numpy>=999"), is_met("no-such-package")
    (True, False, False)
    """
    wanted = Requirement(requirement)
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return False
    return wanted.specifier.contains(found, prereleases=True)


def pip_line(requirements: list[str]) -> str:
    """Return the line that installs requirements.

    >>> pip_line(["h5py>=3.10", "fsspec"])
    "pip install 'h5py>=3.10' 'fsspec'"
    """
    return f"pip install {' '.join(map(repr, requirements))}"


def modules_of(requirements: tuple[str, ...]) -> list[str]:
    """Return the names that installed packages are imported by.

    >>> modules_of(("PyYAML>=6.0", "no-such-package"))
    ['yaml']
    """
    wanted = {canonicalize_name(Requirement(each).name) for each in requirements}
    found = packages_distributions().items()
    owned = (module for module, owners in found if wanted & set(map(canonicalize_name, owners)))
    return sorted(module for module in owned if module.isidentifier() and not module.startswith("_"))
