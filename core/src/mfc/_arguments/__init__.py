"""Checks of the arguments of public functions."""

from __future__ import annotations

from mfc._arguments._checks import flag, members, one_of, path_of, plain, text, texts, whole
from mfc._arguments._times import milliseconds, moment

__all__ = [
    "flag",
    "members",
    "milliseconds",
    "moment",
    "one_of",
    "path_of",
    "plain",
    "text",
    "texts",
    "whole",
]
