"""Picks the wire: the compiled module where it is there, else its twin in Python.

The environment variable ``WEBSOCKET_BACKEND`` forces one of them: ``cython`` or ``python``. It is
read once, when the package is imported.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from ._conflict import check_conflict

__all__ = [
    "BACKEND",
    "REASON",
    "BaseConnection",
    "BaseFrameDecoder",
    "BinaryFragment",
    "BinaryMessage",
    "SendData",
    "TextFragment",
    "TextMessage",
    "apply_mask",
    "encode_frame",
]

# Of all modules the package imports this one first, so a mixture of two packages gets no further.
check_conflict(os.path.dirname(os.path.abspath(__file__)))

_NAMES = (
    "BaseConnection",
    "BaseFrameDecoder",
    "BinaryFragment",
    "BinaryMessage",
    "SendData",
    "TextFragment",
    "TextMessage",
    "apply_mask",
    "encode_frame",
)


def _pick() -> tuple[ModuleType, str, str]:
    """Return the wire, its name, and in a few words why it was picked.

    Raises:
        ImportError: if ``WEBSOCKET_BACKEND`` names no backend, or one that cannot be imported.
    """
    forced = os.environ.get("WEBSOCKET_BACKEND", "")
    if forced not in {"", "cython", "python"}:
        raise ImportError(f"WEBSOCKET_BACKEND must be 'cython' or 'python', not {forced!r}")
    if forced == "python":
        return _import("_fallback"), "python", "WEBSOCKET_BACKEND asks for it"
    try:
        wire = _import("_speedups")
    except Exception as error:  # a broken module may raise anything
        if forced:
            raise ImportError(
                f"WEBSOCKET_BACKEND is 'cython', but {_problem(error)}; {_remedy()}"
            ) from error
        if not _is_missing(error):
            warnings.warn(
                f"{_problem(error)}, so websocket runs on its slow fallback in Python; {_remedy()}",
                RuntimeWarning,
                stacklevel=2,
            )
        return _import("_fallback"), "python", _problem(error)
    reason = "WEBSOCKET_BACKEND asks for it" if forced else "the compiled module is there"
    return wire, "cython", reason


def _import(name: str) -> ModuleType:
    module = import_module(f".{name}", __package__)
    missing = [wanted for wanted in _NAMES if not hasattr(module, wanted)]
    if missing:
        # What an older release compiled may lie beside newer Python files.
        raise ImportError(f"{module.__name__} lacks {', '.join(missing)}")
    return module


def _is_missing(error: Exception) -> bool:
    return isinstance(error, ModuleNotFoundError) and error.name == f"{__package__}._speedups"


def _problem(error: Exception) -> str:
    if not _is_missing(error):
        return f"the compiled module fails to import ({type(error).__name__}: {error})"
    if sys.implementation.name != "cpython":
        return f"the compiled module is for CPython only, this is {sys.implementation.name}"
    return f"the compiled module is not built for {sys.implementation.cache_tag}"


def _remedy() -> str:
    return (
        "to build it, with a C compiler on CPython: WEBSOCKET_SPEEDUPS=require "
        "pip install --force-reinstall --no-binary websocket-sansio websocket-sansio, "
        "or in a checkout: WEBSOCKET_SPEEDUPS=require pip install -e ."
    )


if TYPE_CHECKING:
    # The twins have the same names and the same types: those of the one that can be read.
    from . import _fallback as _wire

    BACKEND: str = ""
    REASON: str = ""
else:
    _wire, BACKEND, REASON = _pick()

BaseConnection = _wire.BaseConnection
BaseFrameDecoder = _wire.BaseFrameDecoder
BinaryFragment = _wire.BinaryFragment
BinaryMessage = _wire.BinaryMessage
SendData = _wire.SendData
TextFragment = _wire.TextFragment
TextMessage = _wire.TextMessage
apply_mask = _wire.apply_mask
encode_frame = _wire.encode_frame
