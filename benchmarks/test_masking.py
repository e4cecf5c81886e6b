"""Masking alone, from 16 bytes to 16 MiB."""

from functools import partial

import pytest
from masking import MASKING


@pytest.mark.parametrize("work", MASKING, ids=lambda work: work.name)
def test_masking(timed, ws, work):
    timed(work.name, partial(work.prepare, ws.apply_mask), work.check)
