"""The grammar of Sec-WebSocket-Extensions."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from websocket.errors import ExtensionParseError
from websocket.extensions import Extension, ExtensionParam, is_token, split_list

TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
tokens = st.text(TOKEN_CHARACTERS, min_size=1, max_size=8)
params = st.builds(ExtensionParam, tokens, st.none() | tokens)
extensions = st.builds(Extension, tokens, st.lists(params, max_size=4))


# Tokens and lists


@pytest.mark.rule("R161")
def test_exactly_these_characters_make_a_token() -> None:
    found = {chr(code) for code in range(0x250) if is_token(chr(code))}
    assert found == set(TOKEN_CHARACTERS)


@pytest.mark.rule("R161")
def test_a_token_has_at_least_one_character_and_only_such() -> None:
    assert is_token(TOKEN_CHARACTERS)
    for text in ("", "a b", " a", "a\n", "a\u00a0", "\u0663"):
        assert not is_token(text)


@pytest.mark.rule("R155", "R159")
@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ("", []),
        (" \t, ,", []),
        ("a", ["a"]),
        ("a,b , c\t,", ["a", "b", "c"]),
        ('a; x="1,2", b', ['a; x="1,2"', "b"]),
        (r'a; x="1\",2", b', [r'a; x="1\",2"', "b"]),
        (r'"a\\", b', [r'"a\\"', "b"]),
        (r"a\, b", ["a\\", "b"]),
        ('"a, b', ['"a, b']),
        ('"a\\', ['"a\\']),
        ('"", ""x, "', ['""', '""x', '"']),
    ],
)
def test_a_list_is_split_at_commas_outside_quotes(value: str, elements: list[str]) -> None:
    assert split_list(value) == elements


@pytest.mark.rule("1.4 both")
def test_only_spaces_and_tabs_are_trimmed_from_elements() -> None:
    assert split_list("\u00a0upgrade , \u2003a\x0b") == ["\u00a0upgrade", "\u2003a\x0b"]


# Extensions


@pytest.mark.rule("R155", "R156", "R157")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", Extension("a")),
        ("a; x", Extension("a", [ExtensionParam("x")])),
        ("a;x=1", Extension("a", [ExtensionParam("x", "1")])),
        ("a \t;\t x \t= \t1 \t", Extension("a", [ExtensionParam("x", "1")])),
        ('a; x="1"', Extension("a", [ExtensionParam("x", "1")])),
        ('a; x = "1" ', Extension("a", [ExtensionParam("x", "1")])),
        (r'a; x="\1\a"', Extension("a", [ExtensionParam("x", "1a")])),
    ],
)
def test_one_element_is_read_alike_in_both_modes(text: str, expected: Extension) -> None:
    assert Extension.parse_strict(text) == (expected,)
    assert Extension.parse(text) == (expected,)


@pytest.mark.rule("R155", "R159")
def test_several_elements_are_read_in_order_and_empty_ones_skipped() -> None:
    text = "a, , b; x=1; y,, a,"
    expected = (
        Extension("a"),
        Extension("b", [ExtensionParam("x", "1"), ExtensionParam("y")]),
        Extension("a"),
    )
    assert Extension.parse_strict(text) == expected
    assert Extension.parse(text) == expected


@pytest.mark.rule("R159")
@pytest.mark.parametrize("text", ["", " ", ",", " ,\t, "])
def test_an_empty_list_is_an_empty_result(text: str) -> None:
    assert Extension.parse_strict(text) == ()
    assert Extension.parse(text) == ()


@pytest.mark.rule("R160")
def test_repeated_parameters_are_kept() -> None:
    (extension,) = Extension.parse_strict("a; x=1; x=2; x")
    assert [param.value for param in extension.params] == ["1", "2", None]


@pytest.mark.rule("R156", "R158")
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a b", "the name 'a b' is not a token"),
        ("a=1", "the name 'a=1' is not a token"),
        ('"a"', "the name '\"a\"' is not a token"),
        ("; x", "the name '' is not a token"),
        ("\u00a0a", "the name '\\xa0a' is not a token"),
        ("a; x y", "the parameter name 'x y' is not a token"),
        ("a; =1", "the parameter name '' is not a token"),
        ('a; "x"', "the parameter name '\"x\"' is not a token"),
        ("a; x=", "the value '' of 'x' is neither a token nor a token in quotes"),
        ("a; x=1=2", "the value '1=2' of 'x'"),
        ("a; x=1 2", "the value '1 2' of 'x'"),
        ("a; x=\u00a01", "the value '\\xa01' of 'x'"),
        ('a; x=""', "the value '\"\"' of 'x'"),
        ('a; x="1 2"', "the value '\"1 2\"' of 'x'"),
        ('a; x="1,2"', "the value '\"1,2\"' of 'x'"),
        (r'a; x="1\"2"', r"the value "),
        (r'a; x="\\"', r"the value "),
        ('a; x="1', "the value '\"1' of 'x'"),
        ('a; x="1\\', "the value "),
        ('a; x="1"2', "the value '\"1\"2' of 'x'"),
        ('a; x=1"2"', "the value '1\"2\"' of 'x'"),
        ('a; x="1" "2"', "the value "),
    ],
)
def test_a_violation_raises_in_strict_mode_and_drops_the_element_in_lenient_mode(
    text: str, complaint: str
) -> None:
    with pytest.raises(ExtensionParseError) as caught:
        Extension.parse_strict(f"z, {text}")
    assert complaint in str(caught.value)
    assert caught.value.status == 400
    assert Extension.parse(text) == ()
    assert Extension.parse(f"z, {text}")[0] == Extension("z")


@pytest.mark.rule("R158")
@pytest.mark.parametrize("text", ["a; x;", "a;; x", "a; ;x", "a;;x;"])
def test_an_empty_parameter_raises_in_strict_mode_and_is_skipped_in_lenient_mode(
    text: str,
) -> None:
    with pytest.raises(ExtensionParseError, match="a parameter is empty"):
        Extension.parse_strict(text)
    assert Extension.parse(text) == (Extension("a", [ExtensionParam("x")]),)


def test_get_param_finds_the_first_of_exactly_that_name() -> None:
    extension = Extension("a", [ExtensionParam("x", "1"), ExtensionParam("x", "2")])
    assert extension.get_param("x") == ExtensionParam("x", "1")
    assert extension.get_param("X") is None
    assert Extension("a").get_param("a") is None


def test_encode_neither_quotes_nor_checks() -> None:
    extension = Extension("a b", [ExtensionParam("x"), ExtensionParam("y", "1,2")])
    assert extension.encode() == "a b; x; y=1,2"


def test_extensions_are_values() -> None:
    extension = Extension("a", [ExtensionParam("x", "1")])
    assert pickle.loads(pickle.dumps(extension)) == extension
    assert hash(extension) == hash(Extension("a", (ExtensionParam("x", "1"),)))
    assert repr(ExtensionParam("x")) == "ExtensionParam(name='x', value=None)"
    with pytest.raises(AttributeError):
        extension.name = "b"  # type: ignore[misc]


@given(st.lists(extensions, max_size=4))
def test_what_is_encoded_is_read_again(elements: list[Extension]) -> None:
    text = ", ".join(element.encode() for element in elements)
    assert Extension.parse_strict(text) == tuple(elements)
    assert Extension.parse(text) == tuple(elements)


@given(st.text('aB1";,=\\ \t\u00a0é', max_size=30))
def test_lenient_mode_never_raises_and_agrees_with_strict_mode(text: str) -> None:
    lenient = Extension.parse(text)
    try:
        strict = Extension.parse_strict(text)
    except ExtensionParseError:
        return
    assert lenient == strict


@given(st.text('a";,\\ ', max_size=30))
def test_splitting_loses_nothing_but_commas_and_white_space(text: str) -> None:
    def essence(text: str) -> str:
        return text.replace(",", "").replace(" ", "")

    assert essence("".join(split_list(text))) == essence(text)
