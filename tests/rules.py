"""The rules of behaviour, each of which needs a test that names it.

A test names the rules it shows with ``@pytest.mark.rule("R57", "1.1 close codes")``: the number of
a rule of the reference implementation, or the number of a section in which this library differs
from it on purpose, with the first words of the row. ``tests/test_rules.py`` compares.
"""

from __future__ import annotations

__all__ = ["LEFT_OUT", "RULES"]

RULES = {
    # Failing, closing, timing
    "1.1 failure": "events, Close frame, timers and CloseConnection in order; final; nothing leaks",
    "1.1 CloseConnection": "comes after everything that is to be sent, and only once",
    "1.1 transition table": "each transition of the table happens, no other does",
    "1.1 normal close, server": "events, reply, timers, CloseConnection",
    "1.1 normal close, client": "lets the server close TCP first, and does not wait for ever",
    "1.1 close()": "clears the timers of keepalive; None sends an empty Close",
    "1.1 close codes": "the same ones may be sent and received",
    "1.1 reply to a Close": "the code that came, 1000 for none",
    "1.1 close reason not UTF-8": "1007",
    "1.1 end of stream": "without a Close: 1006, before the end of the handshake too",
    "1.1 close timeout": "no Close in time: 1006",
    "1.1 opening timeout": "armed, cleared, and answered with 408 or 503 by a server",
    "1.1 keepalive": "payloads of its own; what a Pong settles; 1,024 outstanding at most",
    "1.1 pong timeout": "1008, but never while input waits to be polled",
    "1.1 auto_pong=False": "the application answers",
    # Frames and messages
    "1.2 order of checks": "from the first two octets, then from the length",
    "1.2 message limits": "fragmented or not, inclusive, 1009",
    "1.2 fragments": "at most max_fragments, 1008",
    "1.2 UTF-8": "fails at the first wrong byte, wherever the text was cut",
    "1.2 messages before a violation": "are delivered and answered first",
    "1.2 early data": "at most max_handshake_size before the answer",
    "1.2 streaming": "in pieces, no character split, final once, limits on the whole",
    # DEFLATE
    "1.3 engine": "takeover in both directions; the named one; contexts on first use",
    "1.3 memory": "window 12, mem_level 5, threshold 64; all of them options",
    "1.3 windows": "9 to 15 both ways, 8 to receive only",
    "1.3 not worth it": "plain under no-context-takeover, never otherwise",
    "1.3 BFINAL": "another stream follows; at most 1,024, in linear work",
    "1.3 broken streams": "1007; the end is checked",
    "1.3 negotiation": "several offers, own configuration, answers that do not fit",
    # Handshake
    "1.4 both": "whitespace, integers, quotes, size of the head, all headers, UTF-8",
    "1.4 client": "what a 101 must be, interim answers, refusals with their body, reserved headers",
    "1.4 server: the event": "every well-formed head is an event, with what is wrong with it",
    "1.4 server: the answer": "automatic, by hand, and for what is no HTTP/1.1 head",
    "1.4 server: arguments": "checked before anything changes",
    "1.4 server: refused": "a body, an empty Host, two Origins",
    # Frame encoding
    "R1": "the layout of a frame",
    "R2": "the shortest form of the length",
    "R3": "the masking key and the masked payload",
    "R4": "a client masks every frame with a fresh key, a server none",
    "R6": "a message sent whole is one frame with FIN",
    # Frame decoding
    "R7": "any chunking of the input",
    "R8": "several frames in one chunk, the unfinished one kept",
    "R9": "unknown opcodes are refused from the first two octets",
    "R10": "16-bit length below 126 refused",
    "R11": "64-bit length up to 65535 refused",
    "R12": "64-bit length with its top bit refused, before the shortest form is asked for",
    "R13": "126 and 65536 in their forms accepted",
    "R14": "lengths near the largest integer",
    "R16": "a Close frame with one octet: a frame, but no Close",
    "R17": "the decoder tells whether a frame was masked, and unmasks it",
    "R18": "the decoder gives the same error again",
    # Order of checks; masking; reserved bits
    "R21": "what the decoder refuses closes with 1002",
    "R22": "a server refuses unmasked frames",
    "R23": "a client refuses masked frames",
    "R25": "RSV2 and RSV3 refused",
    "R26": "RSV1 refused without compression",
    "R27": "RSV1 refused on control frames",
    "R28": "RSV1 refused on continuations",
    "R29": "plain messages between compressed ones",
    # Fragmentation
    "R30": "the first frame gives a message its kind",
    "R31": "continuations are appended, one event at the end",
    "R32": "control frames between fragments",
    "R33": "a continuation of nothing",
    "R34": "a new message inside another",
    "R35": "empty fragments",
    "R36": "a Close between fragments drops the unfinished message",
    "R37": "messages before a violation in the same chunk",
    # Text
    "R39": "every kind of invalid UTF-8 fails the connection with 1007",
    "R40": "a character divided between fragments",
    "R41": "binary data is not looked at",
    # Sending
    "R42": "no data and no Ping outside CONNECTED",
    "R44": "a Ping of 125 bytes, and one of 126",
    "R45": "close() where it is allowed",
    "R46": "close() checks first the state, then the code, then the reason",
    "R48": "a reason of 123 bytes, and one of 124",
    "R49": "what the first close() puts out",
    "R50": "close() again does nothing",
    # Receiving a Close
    "R54": "a payload of one octet: 1002",
    "R56": "a valid Close: events and outputs in order",
    "R57": "the reply carries the code that came and no reason",
    "R58": "from CONNECTED to CLOSED when the peer closes first",
    "R60": "what follows the Close is dropped",
    "R61": "after our Close data and Pings still come and are answered",
    "R62": "no Pong after a Close has come",
    "R63": "no second Close for an invalid one",
    # Ping, Pong, timers
    "R65": "a Ping is an event, then answered",
    "R67": "PING is armed when the handshake is over",
    "R68": "PING fires: a Ping goes out, PONG_TIMEOUT and PING are armed",
    "R69": "PING fires while a Ping is outstanding, with no interval, or too late",
    "R70": "send_ping sends while another is outstanding",
    "R71": "PONG_TIMEOUT fires with a Ping outstanding, and without",
    "R73": "CLOSE_TIMEOUT fires in CLOSING, and elsewhere",
    "R74": "there is no clock in it; SetTimer replaces",
    # States
    "R75": "the transitions",
    "R76": "CLOSED is final",
    "R77": "StateChanged at connect, at the first feed, at the end of the handshake",
    "R79": "max_frame_size: inclusive, data frames only, 1009",
    "R82": "max_decompressed_size: inclusive, compressed messages only",
    "R88": "feeding a client that has not connected raises and spoils nothing",
    # The client's request
    "R91": "the order of its fields",
    "R92": "the key is the nonce in base64",
    "R93": "the target begins with / or a URL",
    "R94": "characters that a target must not have",
    "R95": "an absolute target agrees with Host",
    "R96": "subprotocols are tokens and unique",
    "R97": "headers reserved for the handshake",
    "R98": "names and values of headers",
    "R99": "the grammar of Host",
    "R100": "connect() may be tried again after a mistake",
    "R101": "extensions go out as they are given",
    # The request at the server
    "R102": "the first of several mistakes decides",
    "R103": "a bad handshake is answered with 400 and closed",
    "R104": "GET and HTTP/1.1 only",
    "R105": "which targets a server takes",
    "R106": "exactly one valid Host",
    "R107": "Upgrade names websocket",
    "R109": "the version: 400 or 426",
    "R110": "the key is strict base64 of 16 bytes",
    "R111": "the list of subprotocols",
    # The server's answer
    "R116": "accept needs a complete request",
    "R117": "the order of its fields",
    "R118": "the answer stays within what was offered",
    "R119": "headers reserved for the handshake",
    "R121": "another extension may be echoed",
    "R122": "the first of the client's subprotocols that the server has",
    "R125": "the order of outputs and events at accept",
    # permessage-deflate at the server
    "R126": "the first acceptable offer",
    "R127": "invalid offers are passed over",
    "R128": "what the server answers",
    "R129": "an answer built by hand fits one offer",
    "R130": "its name is case-sensitive",
    # The answer at the client
    "R131": "a 101 is judged when its head is complete",
    "R134": "Upgrade and Connection",
    "R135": "Sec-WebSocket-Accept",
    "R136": "the subprotocol is one that was offered",
    "R137": "the extensions are among those offered",
    "R138": "no reason phrase; Content-Length on a 101",
    "R139": "frames right after the head",
    # permessage-deflate at the client
    "R140": "the offer is what is configured",
    "R141": "what parameters an answer may have",
    "R143": "client_max_window_bits that was not offered",
    "R144": "server_max_window_bits above what was offered",
    "R146": "the client keeps to its own configuration",
    # permessage-deflate, the data
    "R147": "from how many bytes on messages are compressed",
    "R148": "the tail is removed and appended",
    "R149": "takeover, blocks of all kinds",
    # HTTP
    "R150": "at most 100 fields",
    "R152": "CRLF only",
    "R153": "what a head must not contain",
    # Extensions
    "R155": "elements and parameters are split outside quotes",
    "R156": "tokens and quoted tokens",
    "R158": "strict and lenient",
    "R159": "empty elements, empty lists",
    "R160": "the same parameter twice",
    "R161": "what a token is",
    # Randomness
    "R162": "one nonce a connect, one masking key a frame",
}
"""The rules that must have a test, with a few words on each."""


def _left_out(numbers: str, why: str) -> dict[str, str]:
    return {f"R{number}": why for number in numbers.split()}


LEFT_OUT = {
    **_left_out(
        "5 15 19 24 38 43 53 59 66 72 78 80 83 84 85 90 108 112 113 114 115 120 123 124 132 133"
        " 142 145 151 154 157",
        "describes a weakness; what is right instead stands in a row of 1.1 to 1.4",
    ),
    "R20": "another order: '1.2 order of checks'",
    "R47": "other codes: '1.1 close codes'",
    "R51": "no reason of the library's own is long enough to be cut: '1.1 failure'",
    "R52": "an empty Close can be sent: '1.1 close()'",
    "R55": "1007 instead: '1.1 close reason not UTF-8'",
    "R64": "the state is CLOSED at once: '1.1 failure'",
    "R81": "the sum is judged from the header: '1.2 message limits'",
    "R86": "another bound: '1.2 early data'",
    "R87": "nothing raises, later input is ignored: '1.1 failure'",
    "R89": "the state is CLOSED at once: '1.1 failure'",
}
"""The rules that need none, and why. A test may name them all the same."""
