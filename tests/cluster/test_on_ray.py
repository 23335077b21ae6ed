"""A cluster of three raylets on loopback gives the answer of one process, whatever it loses on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sharded import ASKED, QUERIES, SPACE, X, swept

from tuner.cluster import on_ray
from tuner.errors import InputError

pytest.importorskip("ray", reason="ray: missing; pip install '.[ray]'")

from benchmarks.cluster.disturbed import disturbed, driver_of
from benchmarks.cluster.raylets import Raylets, raylets

ONE_CODEC = replace(SPACE, codecs=("SQ8",), rerank_factors=(1,))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Raylets]:
    with raylets(3) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("data")
    np.save(made / "x.npy", X)
    np.save(made / "queries.npy", QUERIES)
    space = {"M": list(ONE_CODEC.M), "codecs": ["SQ8"], "cuts": [1.0], "rerank_factors": [1]}
    (made / "space.yaml").write_text(yaml.safe_dump(space))
    return made


def arguments_of(folder: Path, out: Path) -> list[str]:
    return [
        *(
            str(folder / "x.npy"),
            "--queries",
            str(folder / "queries.npy"),
            "--space",
            str(folder / "space.yaml"),
        ),
        *("--recall", f"{ASKED.recall}", "--metric", "l2", "--seed", "1", "--shards", "3"),
        *("--out", str(out), "--work", str(out / "work")),
    ]


def points_of_report(out: Path) -> dict[str, Any]:
    """Return what was measured of each configuration, but for seconds."""
    report = json.loads((out / "report.json").read_text())
    assert report["status"] == "sharded"
    return {
        json.dumps(point["configuration"]): (
            *(point["ef_search"], point["hits"], point["memory"], point["ndis_per_query"]),
            point["tried"][0]["recall"] if point["tried"] else None,
        )
        for point in report["points"]
    }


def digests_of(out: Path) -> tuple[str, list[str]]:
    manifest = json.loads((out / "shards.json").read_text())
    return manifest["label"], [each["digest"] for each in manifest["shards"]]


def test_a_cluster_that_loses_a_worker_a_machine_and_its_driver_gives_the_same_answer(
    cluster: Raylets, folder: Path, tmp_path: Path
) -> None:
    swept(tmp_path / "here", n_shards=3, options=replace(ASKED, space=ONE_CODEC, threads=1))
    lost = disturbed(arguments_of(folder, tmp_path / "there"), tmp_path / "there" / "work", cluster)
    assert [each.split()[0] for each in lost] == ["worker", "raylet", "driver"]
    assert points_of_report(tmp_path / "there") == points_of_report(tmp_path / "here")
    here, there = digests_of(tmp_path / "here"), digests_of(tmp_path / "there")
    if here[0] == there[0]:  # which of two that are as good is named depends on the clock
        assert here == there
    assert not (tmp_path / "there" / "work").exists()


def test_bad_rows_are_named_by_a_cluster_too(cluster: Raylets, folder: Path, tmp_path: Path) -> None:
    x = X.copy()
    x[4_321, 0] = np.inf
    np.save(tmp_path / "x.npy", x)
    arguments = [str(tmp_path / "x.npy"), *arguments_of(folder, tmp_path / "out")[1:]]
    driver = driver_of(arguments, cluster)
    output, _ = driver.communicate(timeout=100)
    assert driver.returncode == 2
    assert "Traceback" not in output
    assert "the first is row 4321:" in output


def test_where_there_is_no_cluster_one_sentence_says_so() -> None:
    with pytest.raises(InputError, match=r"no Ray cluster answers there .* ray start --head"):
        on_ray.ray_workers("127.0.0.1:1").__enter__()


def test_without_ray_one_sentence_says_what_installs_it() -> None:
    program = (
        "import sys; sys.modules['ray'] = None\n"
        "from tuner.cluster.on_ray import ray_workers\n"
        "from tuner.errors import InputError\n"
        "try:\n    ray_workers('auto').__enter__()\nexcept InputError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "--ray needs ray, which is not installed: pip install '.[ray]'" in done.stdout


def test_only_one_module_knows_ray() -> None:
    package = Path(on_ray.__file__).parents[1]
    knowing = [
        path.name for path in package.rglob("*.py") if "import ray\n" in path.read_text().replace("  #", "\n")
    ]
    assert knowing == ["on_ray.py"]
