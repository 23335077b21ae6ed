"""The two ways a run ends without an answer: the input is wrong, or the honest answer is no."""

from __future__ import annotations


class TunerError(Exception):
    """One sentence for the user: what is wrong, where, and what to do. The command line exits with 2."""


class InputError(TunerError):
    """A file, an array or an option cannot be used as it is."""


class HopelessTargetError(InputError):
    """A target that even perfect recall on so many queries could not show to be met."""


class ResourceError(TunerError):
    """The plan needs more memory, disk or time than there is."""
