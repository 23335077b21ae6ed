"""Versions of an engine: which are known, and what came with which."""

from __future__ import annotations

import re

from tuner.engines.protocol import Capabilities, EngineCodec

LAST = 10_000
"""Patch of a version that names none: the last one."""


def numbers(version: str) -> tuple[int, int, int]:
    """Return a version's major, minor and patch number; without a patch it is the line's last.

    Example:
        >>> numbers("9.3") < numbers("9.3.2"), numbers("2.6") > numbers("2.6.8")
        (False, True)
    """
    major, minor, *patch = (int(part) for part in version.split("."))
    return major, minor, patch[0] if patch else LAST


def named_version(can: Capabilities, variant: str) -> tuple[int, int, int]:
    """Return the version that ``variant`` names, the newest known if it is empty."""
    return numbers(dict(can.version_names).get(variant, variant) or can.versions[-1][1])


def version_fault(can: Capabilities, variant: str) -> str:
    """Return why configurations are not written for a version, empty if they are."""
    if not variant:
        return ""
    if not can.versions:
        return f"it is written for one version ({can.tested}), and {variant!r} was named: leave --variant out"
    newest = can.versions[-1][1]
    name = dict(can.version_names).get(variant, variant)
    if re.fullmatch(r"(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})(\.(0|[1-9]\d{0,3}))?", name, re.ASCII) is None:
        return f"it has no version {variant!r}: give one such as {newest}"
    line = numbers(name)[:2]
    if any(numbers(first)[:2] <= line <= numbers(last)[:2] for first, last in can.versions):
        return ""
    later = f"; for a later one name {newest}" if line > numbers(newest)[:2] else ""
    return f"configurations are not written for version {variant}, but for {known_versions(can)}{later}"


def known_versions(can: Capabilities) -> str:
    """Return the versions that configurations are written for, in words."""
    return " and ".join(first if first == last else f"{first} to {last}" for first, last in can.versions)


def codec_fault(can: Capabilities, codec: EngineCodec, variant: str) -> str:
    """Return that a known version does not have a codec, empty if it has."""
    if not can.versions or not codec.since or named_version(can, variant) >= first_patch(codec.since):
        return ""
    return (
        f"version {variant} has no {codec.name}, which came with {codec.since}: choose another codec or a "
        "later version"
    )


def first_patch(version: str) -> tuple[int, int, int]:
    """Return a version's numbers; without a patch it is the line's first.

    Example:
        >>> first_patch("9.3") <= numbers("9.3.0")
        True
    """
    return numbers(version if version.count(".") == 2 else f"{version}.0")
