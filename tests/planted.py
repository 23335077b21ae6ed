"""A real engine with a fault planted in it, found through an entry point as a user's own engine is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tuner.engines import Deployment, Engine, EngineConfig, ReportedConfig, Running, find_engine
from tuner.types import Claims, FloatArray, Metric

REAL, FAULT = "PLANTED_REAL", "PLANTED_FAULT"


def real() -> Engine:
    return find_engine(os.environ.get(REAL, "hnswlib"))


class Planted:
    """The real index, but for what the fault says."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        self.fault = os.environ[FAULT]
        engine, can = real(), real().capabilities
        asked = replace(config, engine=engine.name)
        if self.fault == "codec not applied":
            asked = replace(asked, codec=can.codecs[0].name, oversampling=1)
        if self.fault == "metric swapped":
            others: list[Metric] = [each for each in can.metrics if each != config.metric]
            asked = replace(asked, metric=others[-1])
        assert engine.open is not None
        self.running: Running = engine.open(asked, deployment)
        self.config = asked
        self.rows: list[FloatArray] = []

    def add(self, first: int, x: FloatArray) -> None:
        self.rows.append(np.array(x))
        self.running.add(first, x)

    def build(self) -> None:
        if self.fault == "dies":
            os._exit(7)
        if self.fault != "never built":
            self.running.build()
        if self.fault == "ef ignored":
            self.running.set_search(400, self.config.oversampling)

    def set_search(self, ef_search: int, oversampling: int) -> None:
        if self.fault not in ("ef ignored", "never built"):
            self.running.set_search(ef_search, min(oversampling, max(1, self.config.oversampling)))

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        if self.fault == "exact search":
            x = np.concatenate(self.rows).astype(np.float64)
            x /= np.linalg.norm(x, axis=1, keepdims=True)
            return [int(row) for row in np.argsort(-(x @ query))[:k]]
        return self.running.search(query, k)

    def applied(self) -> ReportedConfig:
        applied = self.running.applied()
        if self.fault == "partly indexed":
            return replace(applied, n_indexed=sum(len(x) for x in self.rows) - 1)
        return applied

    def index_bytes(self) -> int:
        return self.running.index_bytes()

    def close(self) -> None:
        self.running.close()


def open_planted(config: EngineConfig, deployment: Deployment) -> Running:
    return Planted(config, deployment)


ENGINE: Any = Engine(
    capabilities=replace(real().capabilities, name="planted", title="the planted engine"),
    body=lambda config: real().body(replace(config, engine=real().name)),
    open=open_planted,
)


def install(folder: Path) -> None:
    """Write what pip would: a distribution whose entry point names this module."""
    info = folder / "planted-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[vector_index_tuner.engines]\nplanted = planted:ENGINE\nbroken = planted:NOTHING\n", encoding="utf-8"
    )


def claims(n: int, n_queries: int) -> Claims:
    """Return what a report of faiss might say of float32 at M=16, on so many rows and queries."""
    return Claims(
        target=0.95,
        recall=0.96,
        recall_lower=0.95,
        n_queries=n_queries,
        n=n,
        index_bytes=1,
        data="base.npy",
        label="HNSW16,fp32",
        measured_in="faiss 1.15.1",
        in_engine=False,
        created="2026-11-24",
        queries="others",
    )
