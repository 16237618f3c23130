import gzip

import pytest
from support.servers import Answer, Server, data
from support.transports import failure, get, transport

from airflow_provider_openrouter.exceptions import (
    OpenRouterConnectionError,
    OpenRouterResponseError,
)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>Log in</html>",
        "{",
        '{"data": NaN}',
        '{"data": [-Infinity]}',
        '{"data": []} more',
        "[" * 200_000,
        b"\x1f\x8b",
        "9" * 5_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_an_answer_that_is_not_json_is_an_error(body):
    raised = failure(Answer(200, body), max_retries=3)
    assert type(raised) is OpenRouterResponseError
    assert "not JSON" in str(raised)
    assert raised.about == "base_url"
    assert not raised.transient


@pytest.mark.parametrize("body", [{}, [], None, "null", {"error": "no"}, {"Data": []}, 1])
def test_json_without_data_is_an_error(body):
    raised = failure(Answer(200, body))
    assert type(raised) is OpenRouterResponseError
    assert "no 'data'" in str(raised)
    assert raised.about == "base_url"


@pytest.mark.parametrize("form", ["gzipped", "chunked", "both"])
@pytest.mark.parametrize("count", [0, 1, 5_000])
def test_a_body_is_read_in_every_encoding(form, count):
    records = [{"hash": f"hash-{number}"} for number in range(count)]
    plain = data(records)
    answer = plain.gzipped.chunked if form == "both" else getattr(plain, form)
    with Server(lambda request: answer) as server, transport(server.base_url) as opened:
        assert opened.get("/keys", {}) == records
        assert opened.get("/keys", {}) == records
    assert server.connections == 1


def test_a_body_that_is_not_the_gzip_it_says_is_an_error():
    raised = failure(Answer(200, b"plain" * 99, {"Content-Encoding": "gzip"}))
    assert isinstance(raised, OpenRouterConnectionError | OpenRouterResponseError)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r"half \ud83d a pair", "half ? a pair"),
        (r"\udc00", "?"),
        (r"\uD83D\uDE00", "😀"),
        ("😀 é", "😀 é"),
        (r"\\ud83d", r"\ud83d"),
    ],
)
def test_half_a_surrogate_pair_becomes_valid_utf8(text, read):
    with Server(lambda request: Answer(body='{"data": ["' + text + '", 0.1]}')) as server:
        answer = get(server)
    assert answer == [read, 0.1]
    assert str(answer).encode()


@pytest.mark.parametrize(
    ("sent", "read"), [(rb"a\u0000b", "a\ufffdb"), (rb"a\\u0000b", r"a\u0000b"), (rb"a\\\u0000b", "a\\\ufffdb")]
)
def test_a_nul_is_replaced_and_what_only_looks_like_one_is_not(sent, read):
    answer = Answer(body=b'{"data": ["%s"]}' % sent)
    with Server(lambda request: answer) as server, transport(server.base_url) as opened:
        assert opened.get("/keys", {}) == [read]


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "compress", "nonsense"])
def test_an_encoding_that_was_not_asked_for_is_not_unpacked(encoding):
    packed = gzip.compress(gzip.compress(b'{"data": []}'))
    raised = failure(Answer(body=packed, headers={"Content-Encoding": encoding}))
    assert type(raised) is OpenRouterResponseError
    assert "unsupported encoding" in str(raised)
    assert raised.about == "base_url"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", " gzip"])
def test_a_packed_answer_is_unpacked(encoding):
    packed = gzip.compress(b'{"data": ["whole"]}')
    with Server(lambda request: Answer(body=packed, headers={"Content-Encoding": encoding})) as server:
        assert get(server) == ["whole"]
