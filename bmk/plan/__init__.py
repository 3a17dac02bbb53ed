"""Desired against actual -> changes. Pure: nothing here touches a machine, a file of state or the clock."""

from bmk.plan.actual import Actual, OpenGrant
from bmk.plan.build import build_plan
from bmk.plan.model import Change, DiskChoice, HostPlan, Plan

__all__ = ["Actual", "Change", "DiskChoice", "HostPlan", "OpenGrant", "Plan", "build_plan"]
