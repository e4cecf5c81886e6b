"""Messages on a connection: the work that compare.py runs on the peers too."""

from functools import partial

import pytest
from work import ECHO, RECEIVE, SEND


@pytest.mark.parametrize("work", [*RECEIVE, *ECHO, *SEND], ids=lambda work: work.name)
def test_messages(timed, library, work):
    timed(work.name, partial(library.prepare, work), work.check)
