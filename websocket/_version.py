"""The version of the distribution, in one place for the build and for ``--version``."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
