"""Another distribution that installs into the same folder.

``websocket-client`` imports as `websocket` too, and pip writes one over the other without a word.
What is left then is a mixture of both that fails later, somewhere else.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["check_conflict"]

_FOREIGN = ("_abnf.py", "_app.py", "_core.py")
"""Modules that every release of websocket-client since 0.58 has, and this package never."""


def check_conflict(folder: str) -> None:
    """Look for the files of ``websocket-client`` in the folder of this package.

    Raises:
        ImportError: if some are there. It says how to get out of it: to uninstall one of the two
            takes the ``__init__.py`` of the other along.
    """
    found = [name for name in _FOREIGN if Path(folder, name).exists()]
    if found:
        raise ImportError(
            f"files of the distribution 'websocket-client' ({', '.join(found)}) lie in {folder!r}: "
            "it is imported as 'websocket' too, and only one of the two can be installed. "
            "Uninstall both (pip uninstall websocket-client websocket-sansio), "
            "then install the one you want"
        )
