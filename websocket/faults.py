"""What the wire refuses, worded once for both backends.

Each function returns the error for one fault, of the peer or of the caller. None of them is on the
way of a sound frame.
"""

from __future__ import annotations

from .close_codes import CloseCode
from .errors import InvalidUtf8, LimitExceeded, LocalProtocolError, RemoteProtocolError
from .opcodes import Opcode
from .states import ConnectionState

__all__ = [
    "control_fragmented",
    "control_too_long",
    "data_after_eof",
    "frame_masked",
    "frame_not_masked",
    "frame_too_large",
    "inflated_too_large",
    "length_not_minimal",
    "length_too_large",
    "message_interrupted",
    "message_not_begun",
    "message_not_utf8",
    "message_too_large",
    "message_unfinished",
    "not_a_masking_key",
    "not_an_octet",
    "not_connected",
    "not_text",
    "nothing_to_continue",
    "out_of_memory",
    "reserved_bits",
    "state_changed",
    "text_not_encodable",
    "text_not_utf8",
    "too_many_fragments",
    "unknown_opcode",
    "wrong_masking_key",
    "wrong_type",
]

# The peer's faults.


def unknown_opcode(opcode: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"opcode {opcode:#x} is not defined")


def reserved_bits(bits: int) -> RemoteProtocolError:
    names = [name for name, bit in (("RSV1", 0x40), ("RSV2", 0x20), ("RSV3", 0x10)) if bits & bit]
    return RemoteProtocolError(f"{' and '.join(names)} set without an extension that uses it")


def control_fragmented(opcode: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"{Opcode(opcode).name} frame is fragmented")


def control_too_long(opcode: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"{Opcode(opcode).name} frame has more than 125 bytes of payload")


def frame_not_masked() -> RemoteProtocolError:
    return RemoteProtocolError("frame from a client is not masked")


def frame_masked() -> RemoteProtocolError:
    return RemoteProtocolError("frame from a server is masked")


def message_not_begun() -> RemoteProtocolError:
    return RemoteProtocolError("continuation frame without a message to continue")


def message_interrupted(opcode: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"{Opcode(opcode).name} frame inside a fragmented message")


def length_too_large(length: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"payload length {length:#x} has its most significant bit set")


def length_not_minimal(length: int, octets: int) -> RemoteProtocolError:
    return RemoteProtocolError(f"payload length {length} is written in {octets} octets")


def frame_too_large(length: int, maximum: int) -> LimitExceeded:
    return LimitExceeded(f"frame of {length} bytes", "max_frame_size", maximum)


def message_too_large(length: int, maximum: int) -> LimitExceeded:
    return LimitExceeded(f"message of {length} bytes or more", "max_message_size", maximum)


def inflated_too_large(max_message_size: int, max_decompressed_size: int) -> LimitExceeded:
    """The smaller of the two limits is the one exceeded."""
    if max_message_size <= max_decompressed_size:
        return LimitExceeded("inflated message", "max_message_size", max_message_size)
    return LimitExceeded("inflated message", "max_decompressed_size", max_decompressed_size)


def too_many_fragments(count: int, maximum: int) -> LimitExceeded:
    return LimitExceeded(
        f"message of {count} fragments or more",
        "max_fragments",
        maximum,
        CloseCode.POLICY_VIOLATION,
    )


def out_of_memory() -> RemoteProtocolError:
    return RemoteProtocolError("message does not fit into memory", CloseCode.MESSAGE_TOO_BIG)


def message_not_utf8(octet: int, position: int) -> InvalidUtf8:
    return InvalidUtf8(
        f"text message is not UTF-8: no character begins with {octet:#04x} at byte {position}"
    )


# The caller's faults.


def not_connected(call: str, state: ConnectionState) -> LocalProtocolError:
    return LocalProtocolError(f"{call}() needs the state CONNECTED, not {state.name}")


def data_after_eof() -> LocalProtocolError:
    return LocalProtocolError("feed_recv_buf() was called after feed_eof()")


def message_unfinished(call: str) -> LocalProtocolError:
    return LocalProtocolError(
        f"{call}() while a fragmented message is unfinished; end it with send_continuation()"
    )


def nothing_to_continue() -> LocalProtocolError:
    return LocalProtocolError(
        "send_continuation() without a message begun by send_text() or send_binary()"
        " with final=False"
    )


def text_not_utf8(octet: int) -> LocalProtocolError:
    return LocalProtocolError(f"text is not UTF-8: no character begins with {octet:#04x}")


def text_not_encodable(error: UnicodeEncodeError) -> LocalProtocolError:
    return LocalProtocolError(
        f"text holds the lone surrogate {error.object[error.start]!r} at index {error.start},"
        " which UTF-8 cannot encode"
    )


def not_text(value: object) -> TypeError:
    return TypeError(f"text must be str or bytes-like, not {type(value).__name__}")


def not_a_masking_key(key: object) -> TypeError:
    return TypeError(f"masking key must be bytes, not {type(key).__name__}")


def wrong_masking_key(key: bytes) -> ValueError:
    return ValueError(f"masking key must have 4 bytes, not {len(key)}: {key!r}")


def not_an_octet(value: int) -> ValueError:
    return ValueError(f"first octet must be from 0 to 255, not {value}")


def state_changed(before: ConnectionState, after: ConnectionState) -> LocalProtocolError:
    return LocalProtocolError(
        f"the state changed from {before.name} to {after.name} while a masking key was drawn"
    )


def wrong_type(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {wanted}, not {type(value).__name__}")
