"""The result of a run with its index: searched, saved and loaded again."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from tuner import types
from tuner.api.index_folder import IndexFolder, check_there, read_delivered
from tuner.api.views import drawn, notebook_html, plot, to_dataframe
from tuner.data.copies import COPIES_FILE, read_copies, with_copies
from tuner.data.ids import Names, read_ids
from tuner.errors import InputError
from tuner.report import result_from_json, write_report
from tuner.report.faiss_lines import IDS_FILE, STORE_FILE
from tuner.report.within import best_within
from tuner.report.words import verdict
from tuner.runtime.journal import rename_synced
from tuner.search import INDEX_FILE
from tuner.types import FloatArray, IdArray, Preference, Recommendation, Setting

REPORT_NAME = "report.json"
NAMES = (
    *(REPORT_NAME, "report.md", "report.html", "recommended.yaml"),
    *(INDEX_FILE, STORE_FILE, IDS_FILE, COPIES_FILE),
)
"""Everything that a folder of results can hold."""
WITHOUT_INDEX = ("not_reached", "extrapolated", "sharded")
FILES = "_files"
"""Attribute that is no field, so that reports and comparisons do without it."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Result(types.Result):
    """Everything that a run found, as ``tuner.types.Result`` describes it, with the delivered index.

    >>> result = tuner.tune("embeddings.npy", recall=0.95)  # doctest: +SKIP
    >>> distances, rows = result.index().search(queries, 10)  # doctest: +SKIP
    """

    def __repr__(self) -> str:
        return f"<Result {self.status}: {verdict(self)}>"

    @property
    def best(self) -> Recommendation | None:
        """The answer, of exact search where that is the answer; None where nothing reaches the target."""
        return self.recommendation

    def within(
        self,
        *,
        recall: float | None = None,
        max_memory_bytes: float = inf,
        prefer: Preference | None = None,
    ) -> Setting | None:
        """Return what would have been recommended of what was measured, had this been asked for.

        >>> result.within(recall=0.97, max_memory_bytes=50e6)  # doctest: +SKIP

        Args:
            recall: Target recall@k, None for the run's own.
            max_memory_bytes: Limit on resident bytes.
            prefer: Named point to take, None for the run's own.

        Returns:
            An index at an ef_search; None where nothing that was measured meets the limits.
        """
        target = self.options.recall if recall is None else recall
        return best_within(self, target, max_memory_bytes, prefer)

    def chart(self, kind: str = "front") -> dict[str, Any]:
        """Return a chart as a Vega-Lite specification: front, recall, memory, loss, queries or predicted.

        >>> altair.LayerChart.from_dict(result.chart("front"))  # doctest: +SKIP

        Raises:
            InputError: there is no such chart, or nothing was measured that it could show.
        """
        return drawn(self, kind).spec

    def plot(self, path: str | Path, kind: str = "front") -> Path:
        """Write a chart as .svg, .png or .json, and return its file.

        Raises:
            InputError: there is no such chart, what draws it is not installed, or the file cannot be written.
        """
        return plot(self, Path(path), kind)

    def to_dataframe(self) -> Any:
        """Return every measured point as a row of a pandas DataFrame.

        Raises:
            InputError: pandas is not installed.
        """
        return to_dataframe(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return the answer for a notebook: a table, and the front where its drawing is installed."""
        return {"text/plain": repr(self), "text/html": notebook_html(self)}

    def index(self) -> faiss.Index:
        """Return the delivered index, read from its file anew at each call.

        It takes queries as they are and answers with row numbers of the base, or with the user's own ids
        where those are whole numbers; ef_search is set. ``ids`` has those that no index can hold, ``copies``
        the rows that repeat one of its rows, and ``search`` follows both.

        Raises:
            InputError: nothing reached the target, or the file is gone or another run's.
        """
        files = self._delivered()
        index = read_delivered(files, INDEX_FILE)
        n = self.profile.n_indexed if self.collapsed is None else self.collapsed.n_distinct
        if (index.d, index.ntotal) != (self.profile.d, n):
            raise InputError(
                f"{files.path / INDEX_FILE}: holds {index.ntotal:,} x {index.d}, and the run indexed "
                f"{n:,} x {self.profile.d}: another run wrote there, so run this one again"
            )
        best = self.recommendation
        if best is None or best.rerank is None or best.rerank_at == "memory":
            return index
        index = faiss.IndexRefine(index, read_delivered(files, STORE_FILE, faiss.IO_FLAG_MMAP_IFC))
        index.k_factor = float(best.rerank_factor)
        return index

    def ids(self) -> Names | None:
        """Return the user's own ids (n,) by what the delivered index answers with; None where it has them.

        >>> distances, rows = result.index().search(queries, 10)  # doctest: +SKIP
        >>> result.ids()[rows]  # doctest: +SKIP

        Raises:
            InputError: nothing reached the target, or the file is gone.
        """
        if self.own_ids is None or self.own_ids.in_index:
            return None
        path = self._delivered().path / IDS_FILE
        check_there(path)
        names = read_ids(path).names
        if len(names) != self.profile.n:
            raise InputError(f"{path}: has {len(names):,} ids of {self.profile.n:,} rows: run this one again")
        return names

    def copies(self) -> IdArray | None:
        """Return ids (m, 2) of the index, each beside that of a row equal to it; None if none is collapsed.

        Raises:
            InputError: nothing reached the target, or the file is gone, damaged or another run's.
        """
        if self.collapsed is None:
            return None
        path = self._delivered().path / COPIES_FILE
        pairs = read_copies(path)
        if len(pairs) != self.collapsed.n_copies:
            raise InputError(
                f"{path}: has {len(pairs):,} copies, and the run collapsed {self.collapsed.n_copies:,}: "
                "another run wrote there, so run this one again"
            )
        return pairs

    def search(self, queries: FloatArray, k: int | None = None) -> tuple[FloatArray, Names]:
        """Return distances and ids (nq, k) of the nearest rows: the user's own ids, copies among them.

        The index and what lies beside it are read at each call.

        >>> distances, ids = result.search(queries)  # doctest: +SKIP

        Args:
            queries: (nq, d) queries as they are.
            k: Neighbours a query, those of the run if it is None.

        Raises:
            InputError: nothing reached the target, or a file is gone, damaged or another run's.
        """
        k = self.options.k if k is None else k
        index, copies, names = self.index(), self.copies(), self.ids()
        distances, ids = index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        if copies is not None:
            if names is not None and copies.size and not 0 <= copies.min() <= copies.max() < len(names):
                raise InputError(
                    f"{self._delivered().path / COPIES_FILE}: names rows beyond the last of {len(names):,}: "
                    "another run wrote there, so run this one again"
                )
            ids, places = with_copies(copies, ids, k)
            distances = np.take_along_axis(distances, places, axis=1)
        return distances, ids if names is None else names[ids]

    def save(self, folder: str | Path) -> list[Path]:
        """Write the report, the recommendation and the index, whole or not at all; return the files.

        Files that an earlier run left there under these names are replaced or removed.

        Args:
            folder: Folder to write to, made if it is missing.

        Raises:
            InputError: it cannot be written to, or the index is gone.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".save-", dir=folder) as partial:
                write_report(self, Path(partial))
                if self.status not in WITHOUT_INDEX:
                    self._copy_index(Path(partial))
                written = [name for name in NAMES if Path(partial, name).exists()]
                for name in written:
                    rename_synced(Path(partial, name), folder / name)
        except OSError as error:
            raise InputError(
                f"{error.filename or folder}: cannot be written ({error.strerror}): name another folder"
            ) from None
        for name in set(NAMES) - set(written):
            (folder / name).unlink(missing_ok=True)
        return [folder / name for name in written]

    @classmethod
    def load(cls, folder: str | Path) -> Result:
        """Return the result of a folder that ``save`` or the command line wrote.

        Raises:
            InputError: it holds no report.
        """
        return with_files(read_report(Path(folder, REPORT_NAME)), IndexFolder(Path(folder), foreign=True))

    def _delivered(self) -> IndexFolder:
        if self.status == "not_reached":
            raise InputError("nothing reached the target, so there is no index: lower it or raise the limits")
        if self.status == "extrapolated":
            raise InputError("only a sample was measured, so there is no index: tuner.build makes it")
        if self.status == "sharded":
            raise InputError("the index is in shards: tuner.search.ShardedIndex.load(folder) has them")
        files: IndexFolder | None = vars(self).get(FILES)
        if files is None:
            raise InputError("this result is a report alone: Result.load(folder) has the index beside it")
        return files

    def _copy_index(self, folder: Path) -> None:
        files = self._delivered()
        for name in (INDEX_FILE, STORE_FILE, IDS_FILE, COPIES_FILE):
            if name == INDEX_FILE or (files.path / name).exists():
                check_there(files.path / name)
                shutil.copyfile(files.path / name, folder / name)


def with_files(found: types.Result, files: IndexFolder) -> Result:
    """Return a result that knows where its index lies."""
    result = Result(**{each.name: getattr(found, each.name) for each in fields(types.Result)})
    vars(result)[FILES] = files
    return result


def read_report(path: Path) -> types.Result:
    """Return a run's report, of its folder or of the file itself.

    Raises:
        InputError: it cannot be read, or is none.
    """
    path = path / REPORT_NAME if path.is_dir() else path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): name a run's report.json") from None
    return result_from_json(data, str(path))
