"""Encoders that are good enough to be timed, and the kernel cost of every codec from theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tuner.index.codec_view import CodecView
from tuner.index.encoders import Encoder, train
from tuner.index.projections import Rotation
from tuner.prediction.kernel_costs import KernelCost
from tuner.runtime.timing import WIDE
from tuner.sweep.codec_space import views_in_order
from tuner.sweep.judging_limits import JudgingLimits
from tuner.sweep.problem import Problem
from tuner.types import FloatArray


def train_view(
    problem: Problem,
    view: CodecView,
    sample: FloatArray,
    rotation: Rotation | None = None,
    *,
    roughly: bool = False,
) -> Encoder:
    """Return the encoder of a view, trained on ``sample`` (rows, d).

    Args:
        problem: data and options.
        view: codec and cut.
        sample: prepared rows.
        rotation: axes for PCA cuts.
        roughly: whether it is only timed.
    """
    metric, seed = problem.base.metric, problem.options.seed
    return train(view.quantizer, view.projection, rotation, metric, sample, seed, roughly=roughly)


def rough_encoders(
    problem: Problem, sample: FloatArray, rotation: Callable[[], Rotation], limits: JudgingLimits
) -> tuple[dict[CodecView, Encoder], dict[CodecView, CodecView]]:
    """Return encoders that are good enough to be timed, and the view that each view is timed as.

    What is too dear to train is in neither. Of wide vectors, float32 alone is timed on the cuts.

    Args:
        problem: data and options.
        sample: (rows, d) float32 rows to train on.
        rotation: finds the principal axes; of wide vectors, axes are drawn instead.
        limits: what training may cost.
    """
    base, options = problem.base, problem.options
    wide = base.d >= WIDE
    axes = _drawn_axes(base.d, options.seed) if wide else rotation()
    rough: dict[CodecView, Encoder] = {}
    timed_as: dict[CodecView, CodecView] = {}
    for view in views_in_order(options, base.d):
        if limits.too_dear(view.quantizer, view.projection, base.d, base.n):
            continue
        timed = view
        if wide and view.cut != "none" and view.whole(base.d) in timed_as:
            timed = replace(view, codec="fp32")
        elif not wide and view.cut == "truncate" and "pca" in options.space.cut_kinds:
            # it costs what the PCA view of as many dimensions does, but for the matrix
            timed = replace(view, cut="pca")
        timed_as[view] = timed
        if timed not in rough:
            rough[timed] = train_view(problem, timed, sample, axes, roughly=True)
    return rough, timed_as


def _drawn_axes(d: int, seed: int) -> Rotation:
    axes = np.random.default_rng(seed).standard_normal((d, d), dtype=np.float32)
    return Rotation(axes=axes / np.float32(np.sqrt(d)), mean=np.zeros(d, np.float32))


def kernels_of(
    timed: dict[CodecView, KernelCost], timed_as: dict[CodecView, CodecView], d: int
) -> dict[CodecView, KernelCost]:
    """Return the kernel cost of every view.

    Args:
        timed: costs of the views that were timed.
        timed_as: the view that each view was timed as: where that is float32 on the same cut, a distance
            costs what it does on all dimensions, in proportion to those that are left.
        d: all dimensions.
    """
    found = {}
    for view, key in timed_as.items():
        found[view] = timed[key]
        if key.codec != view.codec:
            share = view.quantizer.width / view.whole(d).quantizer.width
            found[view] = timed[view.whole(d)].at_width(view.quantizer, share, timed[key].query_s)
    return found
