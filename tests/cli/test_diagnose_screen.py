"""What `tune diagnose` shows on 80 columns: whole words, whole names, and the line that applies a fix."""

import re
import subprocess
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import faiss
import numpy as np
import pytest
from click.testing import CliRunner

from tuner.cli.again import pasteable
from tuner.cli.draw import Screen
from tuner.cli.main import tune
from tuner.cli.outputs import show_table, show_text
from tuner.errors import InputError
from tuner.report.diagnosis import SCREEN_HEAD, screen_rows
from tuner.types import Diagnosis, Prescription, Recall

pytestmark = pytest.mark.usefixtures("few_rounds")
LONG = "L2norm,PCA1024,L2norm,HNSW32,tqmse4,Refine(fp16)x16"
WHAT = "re-rank 16 x k candidates from a fp16 store beside the codes"


@pytest.fixture
def asked(small: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> list[str]:
    """Write files in a folder whose name has a space; return the words that diagnose them."""
    x, q = small
    folder = tmp_path / "my files"
    folder.mkdir()
    np.save(folder / "x.npy", x)
    np.save(folder / "q.npy", q)
    index = faiss.index_factory(x.shape[1], "L2norm,HNSW8,Flat")
    index.add(x)
    faiss.write_index(index, str(folder / "i.faiss"))
    words = ["--index", str(folder / "i.faiss"), "--queries", str(folder / "q.npy"), "--metric", "cosine"]
    return ["diagnose", str(folder / "x.npy"), *words, "--recall", "0.9", "--threads", "1"]


def read_by_a_shell(line: str) -> list[str]:
    ran = subprocess.run(
        ["/bin/sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True
    )
    return ran.stdout.removesuffix("\n").split("\n")


def test_a_recall_of_exactly_one_is_refused(asked: list[str]) -> None:
    ran = CliRunner().invoke(tune, [*asked, "--recall", "1"], standalone_mode=False)
    assert isinstance(ran.exception, InputError)
    assert "no finite number of queries can show that recall is exactly 1" in str(ran.exception)


def test_the_line_that_applies_it_can_be_pasted(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ran = CliRunner().invoke(tune, asked, standalone_mode=False)
    assert ran.return_value == 1, ran.output
    assert "L2norm,HNSW8,fp32 ef_search=" in ran.stdout
    assert re.search(r"\d\.\d\d x now's", ran.stdout)
    assert "…" not in ran.stdout
    written = re.search(r"^tune diagnose (.*\\\n)*.*", ran.stdout, re.MULTILINE)
    assert written is not None
    words = read_by_a_shell(written[0])
    mended = Path(asked[3]).with_name("i-mended.faiss")
    assert words[-4:] == ["--apply", "1", "--out", str(mended)]
    assert words[0] == "tune"
    assert sorted(words[1:-4]) == sorted(asked)
    again = CliRunner().invoke(tune, words[1:], standalone_mode=False)
    assert again.return_value == 0, again.output
    assert faiss.read_index(str(mended)).ntotal == len(np.load(asked[1]))
    assert "tune diagnose" not in again.stdout  # it was applied


def pieces(text: str) -> list[str]:
    return re.split(r"[ ,]+", text.strip())


def test_no_word_of_a_prescription_is_cut_and_no_name_of_an_index() -> None:
    made = Prescription(
        kind="store",
        title=WHAT,
        label=LONG,
        search_param="ef_search",
        value=4096,
        factor=16,
        recall=Recall(mean=0.9853, lower=0.9664, p5=0.9, share_below_half=0.0, n_queries=500),
        ndis_per_query=1_000.0,
        index_bytes=1_200_000_000,
        works=True,
        latency_ratio=12.7,
    )
    rows = list(screen_rows(cast("Diagnosis", SimpleNamespace(prescriptions=(made,)))))
    out = StringIO()
    show_table(Screen(file=out, width=80, color_system=None), SCREEN_HEAD, rows)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "12.70 x now's" in out.getvalue()
    shown = {piece for line in lines for piece in pieces(line)}
    whole = (*SCREEN_HEAD, *rows[0], WHAT, LONG, "ef_search=4096")
    assert shown == {piece for text in whole for piece in pieces(text)}


def test_a_sentence_breaks_between_words_on_a_terminal_and_nowhere_in_a_pipe() -> None:
    sentence = "graph: " + "its links reach nowhere " * 12
    for terminal, n_lines in ((True, 4), (False, 1)):
        out = StringIO()
        show_text(Screen(file=out, width=80, force_terminal=terminal, color_system=None), sentence)
        lines = out.getvalue().splitlines()
        assert len(lines) == n_lines
        assert " ".join(line.strip() for line in lines) == sentence.strip()
        assert not terminal or all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tune", "run", "a b.npy", "--k", "5"], "tune run 'a b.npy' --k 5"),
        (["tune", "run", "a\nb.npy"], ""),
        (["tune", "run", "x" * 70, "--k", "5"], f"tune run \\\n    {'x' * 70} \\\n    --k 5"),
    ],
)
def test_a_line_that_no_shell_could_read_is_not_shown(words: list[str], line: str) -> None:
    assert pasteable(words, 80) == line
    assert read_by_a_shell(line) == (words if line else [""])
