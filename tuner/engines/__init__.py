"""Engines: what each can express, configurations in its own language, and the engine itself where it runs."""

from tuner.engines.apart import Apart, EngineDiedError
from tuner.engines.bounds import check_settings, problems
from tuner.engines.files import Claims, Exported, read_exported, write_exported
from tuner.engines.protocol import (
    Answers,
    Applied,
    Capabilities,
    Defaults,
    Engine,
    EngineCodec,
    Place,
    Running,
    Settings,
)
from tuner.engines.registry import engine_names, find_engine, missing_modules, require_installed

__all__ = [
    "Answers",
    "Apart",
    "Applied",
    "Capabilities",
    "Claims",
    "Defaults",
    "Engine",
    "EngineCodec",
    "EngineDiedError",
    "Exported",
    "Place",
    "Running",
    "Settings",
    "check_settings",
    "engine_names",
    "find_engine",
    "missing_modules",
    "problems",
    "read_exported",
    "require_installed",
    "write_exported",
]
