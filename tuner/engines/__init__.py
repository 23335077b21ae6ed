"""Engines: what each can express, configurations in its own language, and the engine itself where it runs."""

from tuner.engines.export import read_exported, write_exported
from tuner.engines.filtering import Filtering, FilterMeans, Tags
from tuner.engines.limits import check_config, problems
from tuner.engines.process import EngineDiedError, EngineProcess
from tuner.engines.protocol import (
    Answers,
    Capabilities,
    Defaults,
    Deployment,
    Engine,
    EngineCodec,
    Running,
)
from tuner.engines.registry import engine_names, find_engine, missing_modules, require_installed
from tuner.types import Claims, EngineConfig, Exported, ReportedConfig

__all__ = [
    "Answers",
    "Capabilities",
    "Claims",
    "Defaults",
    "Deployment",
    "Engine",
    "EngineCodec",
    "EngineConfig",
    "EngineDiedError",
    "EngineProcess",
    "Exported",
    "FilterMeans",
    "Filtering",
    "ReportedConfig",
    "Running",
    "Tags",
    "check_config",
    "engine_names",
    "find_engine",
    "missing_modules",
    "problems",
    "read_exported",
    "require_installed",
    "write_exported",
]
