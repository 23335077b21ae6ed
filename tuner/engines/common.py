"""What the files of several engines need alike: names of metrics read back, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.engines.protocol import Deployment
from tuner.errors import InputError
from tuner.types import Metric


def metric_named(name: str | None, names: Mapping[Metric, str]) -> Metric | None:
    """Return the metric that an engine calls ``name``, or None if it is none of ours.

    Example:
        >>> metric_named("dot", {"cosine": "cosine", "ip": "dot", "l2": "l2"})
        'ip'
    """
    return next((metric for metric, known in names.items() if known == name), None)


def refuse_to_drop(kind: str, deployment: Deployment) -> None:
    """Raise InputError unless what has the deployment's name already may be dropped.

    Args:
        kind: article and noun of it, such as ``a table``.
        deployment: place that the index is made in.

    Raises:
        InputError: it may not.
    """
    if not deployment.replace:
        raise InputError(f"{kind} {deployment.name} is there already: give --replace to drop it")


def check_written(title: str, written: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Hold what a vendor's client writes against what is exported.

    Raises:
        InputError: they differ; the sentence names the keys.
    """
    if written != wanted:
        odd = sorted(key for key in {*written, *wanted} if written.get(key) != wanted.get(key))
        raise InputError(f"{title}'s client writes {', '.join(odd)} otherwise: update it or tune")
