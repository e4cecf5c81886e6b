"""The part of the build that ``pyproject.toml`` cannot say: the compiled module.

The environment variable ``WEBSOCKET_SPEEDUPS`` chooses: ``auto`` (the default) builds it if that
can be done and goes on without, ``require`` fails loudly, ``skip`` makes a pure package. With
``WEBSOCKET_SPEEDUPS_ANNOTATE=1`` Cython writes what it made of each line into ``build/``.
"""

from __future__ import annotations

import os
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

try:
    from Cython.Build import cythonize
except ImportError:
    cythonize = None

WANTED = os.environ.get("WEBSOCKET_SPEEDUPS") or "auto"


class BuildSpeedups(build_ext):
    """Adds ``-O3``: at the ``-O2`` of some distributions masking runs at a third of its speed."""

    def build_extensions(self) -> None:
        """Add the option for compilers that spell it so."""
        if self.compiler.compiler_type in {"unix", "mingw32", "cygwin"}:
            for extension in self.extensions:
                extension.extra_compile_args.append("-O3")
        super().build_extensions()


def speedups() -> list[Extension]:
    """Return the compiled module, or nothing where it is not wanted or not possible."""
    if WANTED not in {"auto", "require", "skip"}:
        sys.exit(f"WEBSOCKET_SPEEDUPS must be 'auto', 'require' or 'skip', not {WANTED!r}")
    if WANTED == "skip":
        return []
    obstacle = ""
    if sys.implementation.name != "cpython":
        obstacle = f"the compiled module is for CPython only, this is {sys.implementation.name}"
    elif cythonize is None:
        obstacle = "Cython cannot be imported"
    if obstacle:
        if WANTED == "require":
            sys.exit(f"WEBSOCKET_SPEEDUPS is 'require', but {obstacle}")
        print(f"websocket is built without its compiled module: {obstacle}", file=sys.stderr)
        return []
    module = Extension(
        "websocket._speedups",
        ["websocket/_speedups.pyx"],
        depends=["websocket/_wide.h"],
        include_dirs=["websocket"],
    )
    extensions: list[Extension] = cythonize(
        [module],
        build_dir="build",
        language_level=3,
        annotate=os.environ.get("WEBSOCKET_SPEEDUPS_ANNOTATE") == "1",
    )
    for extension in extensions:
        # cythonize() makes new extensions and drops this attribute of the one it was given.
        extension.optional = WANTED == "auto"
    return extensions


setup(ext_modules=speedups(), cmdclass={"build_ext": BuildSpeedups})
