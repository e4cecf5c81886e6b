"""What the tests with real peers share: they run for each backend, role and peer.

A test with the fixtures `ws`, `role` and `peer` sees our side as `ws` in the role of a client or a
server, and the other side as `peer`. It is a coroutine, with an event loop and a deadline of its
own, so none can hang; besides, nothing waits for an amount of time.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from interop import node_peer

DEADLINE = 20.0
"""Seconds for a test; far more than the slowest machine needs."""

PEERS = ("websockets", "wsproto", "aiohttp", "picows", "node")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def run() -> None:
        await asyncio.wait_for(pyfuncitem.obj(**arguments), DEADLINE)

    asyncio.run(run())
    return True


@pytest.fixture(scope="session")
def node() -> Iterator[Any]:
    """Node's `ws`, which all tests share a process of."""
    reason = node_peer.missing()
    if reason:
        pytest.skip(reason)
    with node_peer.run_node() as port:
        yield node_peer.Node(port)


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> Any:
    """Another implementation of WebSocket; see `peers.Implementation`."""
    if request.param == "node":
        return request.getfixturevalue("node")
    needed = request.param.replace("_", ".")
    pytest.importorskip(needed, reason=f"{needed} is not installed here")
    return import_module(f"interop.{request.param}_peer").IMPLEMENTATION


@pytest.fixture(params=["client", "server"])
def role(request: pytest.FixtureRequest) -> str:
    """The role of our side."""
    return str(request.param)
