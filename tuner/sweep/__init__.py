"""The main job: one build, the whole surface predicted, the front measured, the answer validated."""

from tuner.sweep.plan import Plan, plan
from tuner.sweep.run import sweep

__all__ = ["Plan", "plan", "sweep"]
