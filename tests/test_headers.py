"""Headers: what is taken for header fields, and how they are found."""

from __future__ import annotations

import copy
import pickle

import pytest

from websocket.headers import Headers

PAIRS = (("Host", "example.com"), ("Cookie", "a=1"), ("cookie", "b=2"))


@pytest.mark.parametrize(
    "given", [PAIRS, list(PAIRS), iter(PAIRS), [list(pair) for pair in PAIRS], Headers(PAIRS)]
)
def test_pairs_are_taken_in_order_and_keep_their_spelling(given: object) -> None:
    assert tuple(Headers(given)) == PAIRS  # type: ignore[arg-type]


def test_a_mapping_gives_its_items() -> None:
    assert Headers({"A": "1", "B": "2"}) == (("A", "1"), ("B", "2"))


def test_headers_are_taken_as_they_are() -> None:
    headers = Headers(PAIRS)
    assert Headers(headers) is headers


def test_nothing_gives_no_fields() -> None:
    assert Headers() == ()


def test_get_finds_the_first_field_in_any_case() -> None:
    headers = Headers(PAIRS)
    assert headers.get("COOKIE") == "a=1"
    assert headers.get("Accept") is None
    assert headers.get("Accept", "*/*") == "*/*"


def test_get_all_finds_every_field_in_order() -> None:
    headers = Headers(PAIRS)
    assert headers.get_all("cOOKIE") == ("a=1", "b=2")
    assert headers.get_all("Accept") == ()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("Host: a", "headers must be pairs of name and value, not 'Host: a'"),
        (b"Host: a", "headers must be pairs of name and value, not b'Host: a'"),
        (["ab"], "a header must be a pair of name and value, not 'ab'"),
        ([b"ab"], "a header must be a pair of name and value, not b'ab'"),
        ([("a",)], "a header must be a pair of name and value, not ('a',)"),
        ([("a", "b", "c")], "a header must be a pair of name and value, not ('a', 'b', 'c')"),
        ([("a", 1)], "the name and the value of a header must be str, not ('a', 1)"),
        ([(b"a", "b")], "the name and the value of a header must be str, not (b'a', 'b')"),
        ({"a": None}, "the name and the value of a header must be str, not ('a', None)"),
    ],
)
def test_anything_else_is_a_type_error(given: object, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        Headers(given)  # type: ignore[arg-type]
    assert str(caught.value) == text


def test_headers_can_be_copied_and_pickled() -> None:
    headers = Headers(PAIRS)
    for twin in (copy.deepcopy(headers), pickle.loads(pickle.dumps(headers))):
        assert type(twin) is Headers
        assert twin == headers
