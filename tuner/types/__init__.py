"""The nouns of the project: what goes in, what is measured, what comes out.

Every other module meets here. Everything is a frozen dataclass; stored quantities are SI and carry
their unit in the name (``_s``, ``_bytes``, ``_per_query``).
"""

from tuner.types.data import OwnIds, Profile, QuerySet
from tuner.types.diagnosis import (
    AtK,
    Costs,
    Diagnosis,
    Extrapolated,
    FixKind,
    Lasts,
    Prescription,
    Sensitivity,
    Spent,
    Split,
)
from tuner.types.engine_findings import EngineDiagnosis, EnginePrescription, VerifyResult
from tuner.types.engine_target import DefaultComparison, EnginePoint, FirstBuild, TargetResult
from tuner.types.engines import Claims, EngineConfig, Exported, ReportedConfig
from tuner.types.events import Estimated, Event, Finished, Note, Progress, StageFinished, StageStarted, Warned
from tuner.types.gate import CheckOptions, CheckResult, Drop, Limits
from tuner.types.gate_baseline import BaselineData, BaselineQueries, GateBaseline
from tuner.types.options import DEFAULT_CODECS, Generation, Options, Space
from tuner.types.points import (
    Ceiling,
    CertifiedEf,
    Configuration,
    CurvePoint,
    Latency,
    Memory,
    OperatingPoint,
    Recall,
    Setting,
    TriedEf,
)
from tuner.types.results import (
    SCHEMA_VERSION,
    Cost,
    EarlierAnswer,
    Recommendation,
    ReferenceComparison,
    Result,
    StageCost,
    WholeIndex,
)
from tuner.types.verdict import Cause, CauseName, Line, Status
from tuner.types.words import PREFERENCES, FloatArray, IdArray, Metric, Preference, Steps, StoreAt, T

__all__ = [
    "DEFAULT_CODECS",
    "PREFERENCES",
    "SCHEMA_VERSION",
    "AtK",
    "BaselineData",
    "BaselineQueries",
    "Cause",
    "CauseName",
    "Ceiling",
    "CertifiedEf",
    "CheckOptions",
    "CheckResult",
    "Claims",
    "Configuration",
    "Cost",
    "Costs",
    "CurvePoint",
    "DefaultComparison",
    "Diagnosis",
    "Drop",
    "EarlierAnswer",
    "EngineConfig",
    "EngineDiagnosis",
    "EnginePoint",
    "EnginePrescription",
    "Estimated",
    "Event",
    "Exported",
    "Extrapolated",
    "Finished",
    "FirstBuild",
    "FixKind",
    "FloatArray",
    "GateBaseline",
    "Generation",
    "IdArray",
    "Lasts",
    "Latency",
    "Limits",
    "Line",
    "Memory",
    "Metric",
    "Note",
    "OperatingPoint",
    "Options",
    "OwnIds",
    "Preference",
    "Prescription",
    "Profile",
    "Progress",
    "QuerySet",
    "Recall",
    "Recommendation",
    "ReferenceComparison",
    "ReportedConfig",
    "Result",
    "Sensitivity",
    "Setting",
    "Space",
    "Spent",
    "Split",
    "StageCost",
    "StageFinished",
    "StageStarted",
    "Status",
    "Steps",
    "StoreAt",
    "T",
    "TargetResult",
    "TriedEf",
    "VerifyResult",
    "Warned",
    "WholeIndex",
]
