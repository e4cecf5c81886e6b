"""permessage-deflate: configuration and negotiation."""

from __future__ import annotations

import copy
import pickle
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from websocket.codec import PerMessageDeflate
from websocket.deflate import (
    ExtensionParseContext,
    PerMessageDeflateConfig,
    accept_offers,
    check_answer,
    check_hand_built,
)
from websocket.errors import ExtensionParseError, InvalidHandshake, LocalProtocolError
from websocket.extensions import Extension

Config = PerMessageDeflateConfig
NEGOTIABLE = (
    "server_max_window_bits",
    "client_max_window_bits",
    "server_no_context_takeover",
    "client_no_context_takeover",
)

own_windows = st.none() | st.integers(9, 15)
windows = st.none() | st.integers(8, 15)
client_configs = st.builds(
    Config,
    server_max_window_bits=windows,
    client_max_window_bits=own_windows | st.just(True),
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    window_bits=st.integers(9, 15),
)
server_configs = st.builds(
    Config,
    server_max_window_bits=own_windows,
    client_max_window_bits=windows | st.just(True),
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    window_bits=st.integers(9, 15),
)


def negotiable(config: Config) -> list[object]:
    return [getattr(config, name) for name in NEGOTIABLE]


def read(element: str, context: ExtensionParseContext) -> Config:
    (extension,) = Extension.parse_strict(element)
    return Config.from_extension_validated(extension, context)


# Configuration


@pytest.mark.rule("1.3 memory", "1.3 negotiation")
def test_defaults() -> None:
    config = Config()
    assert config.client_max_window_bits is True
    assert config.server_max_window_bits is None
    assert (config.server_no_context_takeover, config.client_no_context_takeover) == (False, False)
    assert (config.level, config.mem_level, config.window_bits) == (None, 5, 12)
    assert (config.threshold, config.engine) == (64, "zlib")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server_max_window_bits", 7),
        ("server_max_window_bits", 16),
        ("client_max_window_bits", 7),
        ("client_max_window_bits", 0),
        ("client_max_window_bits", 16),
        ("level", -1),
        ("level", 10),
        ("mem_level", 0),
        ("mem_level", 10),
        ("window_bits", 8),
        ("window_bits", 16),
        ("threshold", 0),
        ("threshold", -1),
    ],
)
def test_a_value_out_of_range_is_a_value_error_that_names_it(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be .*, not {value}$"):
        Config(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server_max_window_bits", True),
        ("server_max_window_bits", "10"),
        ("client_max_window_bits", False),
        ("client_max_window_bits", 10.0),
        ("level", True),
        ("mem_level", None),
        ("window_bits", None),
        ("threshold", True),
        ("engine", zlib),
    ],
)
def test_a_value_of_another_type_is_a_type_error_that_names_it(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=rf"^{name} must be "):
        Config(**{name: value})  # type: ignore[arg-type]


@pytest.mark.rule("1.3 windows", "1.3 negotiation")
def test_a_window_of_8_bits_is_for_the_other_side_only() -> None:
    of_server = Config(server_max_window_bits=8)
    of_client = Config(client_max_window_bits=8)
    of_server.check_side(client=True)
    of_client.check_side(client=False)
    with pytest.raises(ValueError, match="server_max_window_bits must be from 9 to 15 on a server"):
        of_server.check_side(client=False)
    with pytest.raises(ValueError, match="client_max_window_bits must be from 9 to 15 on a client"):
        of_client.check_side(client=True)
    with pytest.raises(ValueError, match="server_max_window_bits"):
        Config.negotiate(Config(), of_server)
    with pytest.raises(ValueError, match="server_max_window_bits"):
        accept_offers([], of_server)


def test_a_configuration_is_a_value() -> None:
    config = Config(server_max_window_bits=10, client_max_window_bits=None, level=3)
    assert config == Config(server_max_window_bits=10, client_max_window_bits=None, level=3)
    assert config != Config(server_max_window_bits=10, client_max_window_bits=None)
    assert len({config, copy.deepcopy(config), pickle.loads(pickle.dumps(config))}) == 1
    with pytest.raises(AttributeError):
        config.level = 4  # type: ignore[misc]


# The element of the header


@pytest.mark.rule("R140", "1.3 negotiation")
@pytest.mark.parametrize(
    ("config", "element"),
    [
        (Config(), "permessage-deflate; client_max_window_bits"),
        (Config(client_max_window_bits=None), "permessage-deflate"),
        (Config(client_max_window_bits=10), "permessage-deflate; client_max_window_bits=10"),
        (
            Config(
                server_max_window_bits=9,
                client_max_window_bits=8,
                server_no_context_takeover=True,
                client_no_context_takeover=True,
            ),
            (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
                "server_max_window_bits=9; client_max_window_bits=8"
            ),
        ),
    ],
)
def test_the_offer_holds_exactly_what_is_configured(config: Config, element: str) -> None:
    assert config.to_extension().encode() == element


@given(client_configs | server_configs)
def test_what_is_written_reads_back(config: Config) -> None:
    extension = config.to_extension()
    again = Config.from_extension_for_server_request(extension)
    expected = negotiable(config)
    if config.client_max_window_bits is True:
        expected[1] = 15
        with pytest.raises(ExtensionParseError, match="'client_max_window_bits' lacks its value"):
            Config.from_extension_for_client_response(extension)
    else:
        assert Config.from_extension_for_client_response(extension) == again
    assert negotiable(again) == expected


@pytest.mark.rule("R127", "R130", "R141")
@pytest.mark.parametrize("context", ExtensionParseContext)
@pytest.mark.parametrize(
    ("element", "words"),
    [
        ("permessage-bzip2", "'permessage-bzip2' is not 'permessage-deflate'"),
        ("Permessage-Deflate", "'Permessage-Deflate' is not"),
        ("permessage-deflate; level=3", "'level' is unknown"),
        ("permessage-deflate; Server_No_Context_Takeover", "is unknown"),
        (
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "'client_no_context_takeover' is there twice",
        ),
        (
            "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
            "'server_max_window_bits' is there twice",
        ),
        ("permessage-deflate; server_max_window_bits", "'server_max_window_bits' lacks its value"),
        (
            "permessage-deflate; server_no_context_takeover=true",
            "'server_no_context_takeover' takes no value, not 'true'",
        ),
        ("permessage-deflate; client_no_context_takeover=0", "takes no value, not '0'"),
    ],
)
def test_an_invalid_element_is_refused(
    element: str, words: str, context: ExtensionParseContext
) -> None:
    with pytest.raises(ExtensionParseError, match=words):
        read(element, context)


@pytest.mark.rule("R127", "R141", "R142")
@pytest.mark.parametrize("context", ExtensionParseContext)
@pytest.mark.parametrize("name", ["server_max_window_bits", "client_max_window_bits"])
def test_a_window_is_plain_decimal_from_8_to_15(name: str, context: ExtensionParseContext) -> None:
    for bits in range(8, 16):
        assert getattr(read(f"permessage-deflate; {name}={bits}", context), name) == bits
        assert getattr(read(f'permessage-deflate; {name}="{bits}"', context), name) == bits
    for value in ("7", "16", "0", "08", "010", "+10", "-10", "1_0", "10.0", "0xA", "x", "100"):
        with pytest.raises(ExtensionParseError, match="must be from 8 to 15 in plain decimal"):
            read(f"permessage-deflate; {name}={value}", context)


def test_digits_that_are_not_ascii_are_no_window() -> None:
    extension = Extension.parse_strict("permessage-deflate; server_max_window_bits=10")[0]
    param = type(extension.params[0])("server_max_window_bits", "\u0661\u0660")
    with pytest.raises(ExtensionParseError, match="plain decimal"):
        Config.from_extension_for_server_request(Extension(extension.name, [param]))


# Negotiation at the server


@pytest.mark.rule("R128", "1.3 negotiation", "1.3 windows")
@pytest.mark.parametrize(
    ("offer", "config", "answer"),
    [
        ("", Config(), ""),
        ("; client_max_window_bits", Config(), "; client_max_window_bits=15"),
        ("; client_max_window_bits", Config(client_max_window_bits=None),
         "; client_max_window_bits=15"),
        ("; client_max_window_bits", Config(client_max_window_bits=10),
         "; client_max_window_bits=10"),
        ("; client_max_window_bits=9", Config(client_max_window_bits=10),
         "; client_max_window_bits=9"),
        ("; client_max_window_bits=8", Config(), "; client_max_window_bits=8"),
        ("; client_max_window_bits=12", Config(client_max_window_bits=8),
         "; client_max_window_bits=8"),
        ("", Config(client_max_window_bits=10), ""),
        ("; server_max_window_bits=10", Config(), "; server_max_window_bits=10"),
        ("; server_max_window_bits=10", Config(server_max_window_bits=12),
         "; server_max_window_bits=10"),
        ("; server_max_window_bits=12", Config(server_max_window_bits=10),
         "; server_max_window_bits=10"),
        ("", Config(server_max_window_bits=10), "; server_max_window_bits=10"),
        ("; server_max_window_bits=8", Config(), None),
        ("; server_no_context_takeover", Config(), "; server_no_context_takeover"),
        ("; client_no_context_takeover", Config(), "; client_no_context_takeover"),
        ("", Config(server_no_context_takeover=True), "; server_no_context_takeover"),
        ("", Config(client_no_context_takeover=True), "; client_no_context_takeover"),
        (
            "; client_max_window_bits; server_max_window_bits=11; client_no_context_takeover",
            Config(server_no_context_takeover=True),
            (
                "; server_no_context_takeover; client_no_context_takeover"
                "; server_max_window_bits=11; client_max_window_bits=15"
            ),
        ),
    ],
)  # fmt: skip
def test_what_a_server_answers(offer: str, config: Config, answer: str | None) -> None:
    result = accept_offers([f"permessage-deflate{offer}"], config)
    if answer is None:
        assert result is None
    else:
        assert result is not None
        assert result[0] == f"permessage-deflate{answer}"
        assert result[1].to_extension().encode() == result[0]


@pytest.mark.rule("R126", "R127")
def test_the_first_acceptable_offer_is_taken_and_the_others_are_passed_over() -> None:
    offers = [
        "permessage-bzip2",
        "Permessage-Deflate",
        "permessage deflate",
        'permessage-deflate; server_max_window_bits="',
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; future=1",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=11",
        "permessage-deflate",
    ]
    result = accept_offers(offers, Config())
    assert result is not None
    assert result[0] == "permessage-deflate; server_max_window_bits=11"
    assert accept_offers(offers[:-2], Config()) is None
    assert accept_offers([], Config()) is None


def test_the_agreement_is_carried_out_with_the_servers_tuning() -> None:
    tuning = {"level": 1, "mem_level": 9, "window_bits": 15, "threshold": None, "engine": "zlib"}
    offer = Config(level=9, mem_level=1, window_bits=9, threshold=1)
    result = Config.negotiate(offer, Config(**tuning))  # type: ignore[arg-type]
    assert result == Config(client_max_window_bits=15, **tuning)  # type: ignore[arg-type]


@given(client_configs, server_configs)
def test_both_sides_agree_on_the_same(client: Config, server: Config) -> None:
    result = accept_offers([client.to_extension().encode()], server)
    if result is None:
        assert client.server_max_window_bits == 8
        return
    element, agreement = result
    assert negotiable(check_hand_built(element, [client.to_extension().encode()])) == negotiable(
        agreement
    )
    agreed = check_answer(element, client)
    assert agreed.server_max_window_bits == agreement.server_max_window_bits
    assert agreed.server_no_context_takeover == agreement.server_no_context_takeover
    ours = PerMessageDeflate.new_client(agreed)
    theirs = PerMessageDeflate.new_server(agreement)
    assert theirs.can_compress
    for _ in range(2):
        assert ours.decompress(theirs.compress(b"Hello" * 300)) == b"Hello" * 300
        if ours.can_compress:
            assert theirs.decompress(ours.compress(b"Hello" * 300)) == b"Hello" * 300


@pytest.mark.rule("R129", "1.3 negotiation")
@pytest.mark.parametrize(
    ("answer", "offers"),
    [
        ("", [""]),
        ("; server_no_context_takeover; client_no_context_takeover", [""]),
        ("; server_max_window_bits=10", [""]),
        ("; server_max_window_bits=10", ["; server_max_window_bits=12"]),
        ("; client_max_window_bits=15", ["; client_max_window_bits"]),
        ("; client_max_window_bits=10", ["; client_max_window_bits=10"]),
        ("", ["; client_max_window_bits=10"]),
        ("", ["; client_no_context_takeover"]),
        ("; client_max_window_bits=15", ["; client_max_window_bits=10",
                                         "; client_max_window_bits=15"]),
        ("; server_max_window_bits=15", ["; server_max_window_bits=10", ""]),
    ],
)  # fmt: skip
def test_an_answer_by_hand_that_accepts_one_offer(answer: str, offers: list[str]) -> None:
    element = f"permessage-deflate{answer}"
    agreement = check_hand_built(element, [f"permessage-deflate{offer}" for offer in offers])
    assert agreement.to_extension().encode() == element


@pytest.mark.rule("R129", "1.3 negotiation")
@pytest.mark.parametrize(
    ("answer", "offers", "words"),
    [
        ("", [], "accepts none of the offers"),
        ("", ["; future=1"], "accepts none of the offers"),
        ("", ["; server_no_context_takeover"], "accepts none of the offers"),
        ("", ["; server_max_window_bits=15"], "accepts none of the offers"),
        ("; server_max_window_bits=11", ["; server_max_window_bits=10"], "accepts none"),
        ("; client_max_window_bits=15", [""], "accepts none of the offers"),
        ("; client_max_window_bits=11", ["; client_max_window_bits=10"], "accepts none"),
        (
            "; client_max_window_bits=15",
            ["; client_max_window_bits=10", "; server_no_context_takeover; client_max_window_bits"],
            "accepts none of the offers",
        ),
        ("; server_max_window_bits=8", ["; server_max_window_bits=8"], "window of 8 bits"),
        ("; client_max_window_bits", ["; client_max_window_bits"], "lacks its value"),
        ("; future", ["; future"], "'future' is unknown"),
        (";", [""], "a parameter is empty"),
        (", permessage-deflate", [""], "must be one element"),
    ],
)
def test_an_answer_by_hand_that_accepts_no_offer_is_the_callers_fault(
    answer: str, offers: list[str], words: str
) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        check_hand_built(
            f"permessage-deflate{answer}", [f"permessage-deflate{offer}" for offer in offers]
        )


# Negotiation at the client


@pytest.mark.rule("R141", "R143", "R144", "R145", "1.3 negotiation")
@pytest.mark.parametrize(
    ("config", "answer", "words"),
    [
        (Config(), "; client_max_window_bits", "lacks its value"),
        (Config(), "; server_max_window_bits=7", "must be from 8 to 15"),
        (Config(), "; future=1", "'future' is unknown"),
        (Config(), ", permessage-deflate", "must be one element"),
        (
            Config(client_max_window_bits=None),
            "; client_max_window_bits=15",
            "'client_max_window_bits' was not offered",
        ),
        (
            Config(client_max_window_bits=10),
            "; client_max_window_bits=11",
            "'client_max_window_bits' was offered with 10",
        ),
        (
            Config(server_max_window_bits=10),
            "; server_max_window_bits=11",
            "'server_max_window_bits' was offered with 10",
        ),
        (
            Config(server_max_window_bits=15),
            "",
            "leaves out 'server_max_window_bits', offered with 15",
        ),
        (Config(server_no_context_takeover=True), "", "leaves out 'server_no_context_takeover'"),
    ],
)
def test_an_answer_that_does_not_accept_the_offer_fails_the_handshake(
    config: Config, answer: str, words: str
) -> None:
    with pytest.raises(InvalidHandshake, match=words):
        check_answer(f"permessage-deflate{answer}", config)


@pytest.mark.rule("R144", "R145", "R146", "1.3 negotiation")
@pytest.mark.parametrize(
    ("config", "answer", "agreed"),
    [
        (Config(), "", [None, None, False, False]),
        (Config(), "; server_max_window_bits=8", [8, None, False, False]),
        (Config(server_max_window_bits=12), "; server_max_window_bits=12",
         [12, None, False, False]),
        (Config(server_max_window_bits=12), "; server_max_window_bits=9", [9, None, False, False]),
        (Config(), "; client_max_window_bits=15", [None, 15, False, False]),
        (Config(), '; client_max_window_bits="9"', [None, 9, False, False]),
        (Config(), "; server_no_context_takeover; client_no_context_takeover",
         [None, None, True, True]),
        (Config(client_max_window_bits=None), "", [None, None, False, False]),
        (Config(client_max_window_bits=12), "; client_max_window_bits=10",
         [None, 10, False, False]),
        # The client keeps to what it is configured with, although the answer says nothing of it.
        (Config(client_max_window_bits=10), "", [None, 10, False, False]),
        (Config(client_no_context_takeover=True), "", [None, None, False, True]),
    ],
)  # fmt: skip
def test_what_a_client_agrees_to(config: Config, answer: str, agreed: list[object]) -> None:
    agreement = check_answer(f"permessage-deflate{answer}", config)
    assert negotiable(agreement) == agreed
