"""The texts: documentation strings of the AWS interfaces, as botocore ships them."""

import gzip
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from packages import package_folder

N_DOCUMENTS = 295_620
N_DESCRIPTIONS = 19_758
MIN_CHARACTERS = 9


class Documentation(NamedTuple):
    """Plain texts in the order of botocore's files.

    Attributes:
        documents: what each shape and each member is for; a third of them repeat another one.
        descriptions: what each operation does; distinct, and none is also a document.
        services: service of each document, as botocore names its folder.
        described: service of each description, the first that has it.
    """

    documents: list[str]
    descriptions: list[str]
    services: list[str]
    described: list[str]


def read_documentation() -> Documentation:
    """Read all `N_DOCUMENTS` documents and `N_DESCRIPTIONS` descriptions of the pinned botocore."""
    models = [(path.parts[-3], json.loads(gzip.decompress(path.read_bytes()))) for path in _model_files()]
    documents = [
        (text, service)
        for service, model in models
        for text in map(plain_text, _of_shapes(model))
        if len(text) >= MIN_CHARACTERS
    ]
    descriptions: dict[str, str] = {}
    for service, model in models:
        for operation in model["operations"].values():
            descriptions.setdefault(plain_text(operation.get("documentation", "")), service)
    for known in {"", *(text for text, _ in documents)}:
        descriptions.pop(known, None)
    texts, services = map(list, zip(*documents, strict=True))
    return Documentation(texts, list(descriptions), services, list(descriptions.values()))


def plain_text(markup: str) -> str:
    """Strip a piece of HTML to its text, on one line."""
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", markup)).split())


def _model_files() -> list[Path]:
    return sorted(package_folder("botocore").glob("data/*/*/service-2.json.gz"))


def _of_shapes(model: dict[str, Any]) -> Iterator[str]:
    for shape in model["shapes"].values():
        for part in (shape, *shape.get("members", {}).values()):
            yield part.get("documentation", "")
