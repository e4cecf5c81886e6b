"""Draining events and outputs: by iteration, and one poll after the other."""

import pytest
from work import KEY

COUNT = 1000


def drain_iterator(iterate, _):
    return list(iterate())


def drain_polls(_, poll):
    drained = []
    while (item := poll()) is not None:
        drained.append(item)
    return drained


DRAINS = pytest.mark.parametrize("drain", [drain_iterator, drain_polls])


@DRAINS
@pytest.mark.parametrize("kind", ["TextMessage", "BinaryMessage", "Ping"])
def test_events(timed, ws, library, kind, drain):
    frame = {
        "TextMessage": ws.Frame.text("a" * 64),
        "BinaryMessage": ws.Frame.binary(b"a" * 64),
        "Ping": ws.Frame.ping(b"a" * 64),
    }[kind]
    data = frame.encode(KEY) * COUNT

    def prepare():
        connection = library.server()
        connection.feed_recv_buf(data)
        return lambda: drain(connection.events, connection.poll_event)

    def check(events):
        assert [type(event).__name__ for event in events] == [kind] * COUNT

    timed(f"{COUNT} events {kind}", prepare, check)


@DRAINS
def test_outputs(timed, library, ws, drain):
    # From 16 KiB on the payload is an output of its own, not joined with what is before it.
    payload = bytes(16384)

    def prepare():
        connection = library.server()
        for _ in range(COUNT):
            connection.send_binary(payload)
        return lambda: drain(connection.outputs, connection.poll_output)

    def check(outputs):
        assert sum(len(output.data) for output in outputs) == COUNT * (4 + len(payload))
        assert outputs[-1] == ws.SendData(payload)

    timed(f"{COUNT} sends of 16 KiB", prepare, check)
