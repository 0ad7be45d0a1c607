"""The form that carries a file: exact length, and names that cannot break out of it."""

from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st
from python_multipart.multipart import parse_options_header

from service.kit.http.multipart import FileForm


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_the_announced_length_is_the_length_of_the_body() -> None:
    form = FileForm(field="file", file_name="träck.mp3", media_type="audio/mpeg")
    body = b"".join([part async for part in form.body(chunks(b"abc", b"", b"defg"))])
    headers = form.headers(7)
    assert headers["content-length"] == str(len(body))
    boundary = headers["content-type"].partition("boundary=")[2].encode()
    assert body.startswith(b"--" + boundary + b"\r\n")
    assert body.endswith(b"abcdefg\r\n--" + boundary + b"--\r\n")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text())
def test_no_name_and_no_type_adds_a_header_line(name: str, media_type: str) -> None:
    form = FileForm(field="file", file_name=name, media_type=media_type)
    lines = form._head.split(b"\r\n")
    assert len(lines) == 5
    assert lines[1].count(b'"') == 4
    assert lines[2].startswith(b"Content-Type: ")
    assert not any(byte < 0x20 or byte == 0x7F for line in lines for byte in line)


def test_a_quote_in_the_name_is_escaped() -> None:
    form = FileForm(field="file", file_name='a"; name="x\r\n.mp3', media_type="audio/mpeg")
    _, options = parse_options_header(form._head.split(b"\r\n")[1].partition(b": ")[2].decode())
    assert options[b"name"] == b"file"
    assert options[b"filename"] == b"a%22; name=%22x%0D%0A.mp3"
