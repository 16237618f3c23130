import gzip

import pytest
from support.servers import Answer, Server, data
from support.transports import failure, get, transport

from airflow_provider_openrouter.exceptions import (
    OpenRouterAuthError,
    OpenRouterConnectionError,
    OpenRouterRateLimitError,
    OpenRouterRequestError,
    OpenRouterResponseError,
    OpenRouterServerError,
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
    ids=lambda body: repr(body[:12]).replace("\\", ""),  # mutmut finds no id with backslashes
)
def test_an_answer_that_is_not_json_is_an_error(body):
    raised = failure(Answer(200, body))
    assert type(raised) is OpenRouterResponseError
    assert str(raised).endswith(
        "/keys answered 200 with something that is not JSON. Check that the base URL is the API's, and that no "
        "proxy or login page answers instead."
    )
    assert raised.about == "base_url"
    assert raised.transient


@pytest.mark.parametrize("body", [{}, [], None, "null", {"error": None}, {"error": {}}, {"Data": []}, 1])
def test_json_without_data_is_an_error(body):
    raised = failure(Answer(200, body))
    assert type(raised) is OpenRouterResponseError
    assert str(raised).endswith(
        "/keys answered 200 with JSON that has no 'data'. Check that the base URL is the API's."
    )
    assert raised.about == "base_url"
    assert not raised.transient


@pytest.mark.parametrize(
    ("code", "kind", "transient"),
    [
        (400, OpenRouterRequestError, False),
        (401, OpenRouterAuthError, False),
        (402, OpenRouterRequestError, False),
        (403, OpenRouterAuthError, False),
        (404, OpenRouterRequestError, False),
        (408, OpenRouterServerError, True),
        (409, OpenRouterRequestError, False),
        (425, OpenRouterServerError, True),
        (429, OpenRouterRateLimitError, True),
        ("429", OpenRouterRateLimitError, True),
        (500, OpenRouterServerError, True),
        (529, OpenRouterServerError, True),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"data": None}, {"data": [{"hash": "a"}]}], ids=str)
def test_an_error_in_a_200_is_that_of_its_code(code, kind, transient, beside):
    body = {"error": {"code": code, "message": "It went wrong."}} | beside
    raised = failure(Answer(200, body, headers={"Retry-After": "7"}))
    assert type(raised) is kind
    assert raised.status_code == int(code)
    assert raised.transient is transient
    assert f"answered {code} in a 200" in str(raised)
    assert "(It went wrong.)" in str(raised)
    assert getattr(raised, "retry_after", 7) == 7


@pytest.mark.parametrize(
    "error",
    [
        "It went wrong.",
        {"message": "It went wrong."},
        *(
            {"code": code, "message": "It went wrong."}
            for code in (None, 0, 200, 302, 600, -429, 429.5, "server_error", True, [429], 10**30)
        ),
    ],
    ids=str,
)
def test_an_error_in_a_200_without_a_status_is_temporary(error):
    raised = failure(Answer(200, {"error": error}))
    assert type(raised) is OpenRouterResponseError
    assert raised.status_code is None
    assert raised.transient
    assert "answered 200 with an error (It went wrong.)." in str(raised)


def test_an_error_in_a_200_without_a_status_has_advice():
    raised = failure(Answer(200, b'{"error": "It went \xff wrong."}'))
    assert str(raised).endswith(
        "/keys answered 200 with an error (It went \N{REPLACEMENT CHARACTER} wrong.). Try again later; if it "
        "lasts, check that the base URL is the API's."
    )
    assert raised.about == "base_url"


@pytest.mark.parametrize("error", [[], 0, False, ""])
def test_an_empty_error_beside_the_data_is_none(error):
    with Server(lambda request: Answer(200, {"data": ["whole"], "error": error})) as server:
        assert get(server) == ["whole"]


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
    with Server(lambda request: Answer(body='{"data": ["' + text + '", 0.1, 1e999]}')) as server:
        answer = get(server)
    assert answer == [read, 0.1, "1e999"]
    assert str(answer).encode()


@pytest.mark.parametrize(
    ("sent", "read"), [(rb"a\u0000b", "a\ufffdb"), (rb"a\\u0000b", r"a\u0000b"), (rb"a\\\u0000b", "a\\\ufffdb")]
)
def test_a_nul_is_replaced_and_what_only_looks_like_one_is_not(sent, read):
    answer = Answer(body=b'{"data": ["%s"]}' % sent)
    with Server(lambda request: answer) as server, transport(server.base_url) as opened:
        assert opened.get("/keys", {}) == [read]


@pytest.mark.parametrize(("spare", "is_taken"), [(0, True), (-1, False)])
def test_the_bytes_of_a_body_are_counted(spare, is_taken, monkeypatch):
    monkeypatch.setattr("airflow_provider_openrouter.api.answers.CHUNK", 7)
    monkeypatch.setattr("airflow_provider_openrouter.api.answers.LARGEST_BODY", 999 + spare)
    body = '{"data": [' + " " * (999 - 12) + "]}"
    if is_taken:
        with Server(lambda request: Answer(body=body)) as server:
            assert get(server) == []
    else:
        assert str(failure(Answer(body=body))).endswith(
            "/keys answered with more than 998 bytes. Check that the base URL is the API's."
        )


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "compress", "nonsense"])
def test_an_encoding_that_was_not_asked_for_is_not_unpacked(encoding):
    packed = gzip.compress(gzip.compress(b'{"data": []}'))
    raised = failure(Answer(body=packed, headers={"Content-Encoding": encoding}))
    assert type(raised) is OpenRouterResponseError
    assert str(raised).endswith(
        "/keys answered in an unsupported encoding. Check that the base URL is the API's."
    )
    assert raised.about == "base_url"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", " gzip"])
def test_a_packed_answer_is_unpacked(encoding):
    packed = gzip.compress(b'{"data": ["whole"]}')
    with Server(lambda request: Answer(body=packed, headers={"Content-Encoding": encoding})) as server:
        assert get(server) == ["whole"]
