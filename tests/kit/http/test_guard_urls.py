"""Which URLs are sane, and which literal addresses are refused at once."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.kit.http.guard import GuardPolicy, Network, refusal
from service.kit.http.guarded import CheckedUrl, RefusedUrl, check_url

HTTP_TOO = GuardPolicy(https_only=False)
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://cdn.example/track.mp3", "cdn.example", 443),
        ("http://cdn.example", "cdn.example", 80),
        ("HTTPS://CDN.Example:8443/a?b=c#d", "cdn.example", 8443),
        ("https://cdn.example:80/", "cdn.example", 80),
        ("https://cdn.example:1024/", "cdn.example", 1024),
        ("https://cdn.example:65535/", "cdn.example", 65535),
        ("https://cdn.example./", "cdn.example.", 443),
        ("https://my_bucket.s3.example/", "my_bucket.s3.example", 443),
        ("https://müsik.example/ä?x=%2B", "xn--msik-0ra.example", 443),
        ("https://localhost/", "localhost", 443),  # a name: judged when it is dialled
        ("https://8.8.8.8/", "8.8.8.8", 443),
        ("https://[2606:4700:4700:0::1111]:443/", "2606:4700:4700::1111", 443),
        ("https://[64:ff9b::808:808]/", "64:ff9b::808:808", 443),
        ("https://0xdead.example/", "0xdead.example", 443),
        ("https://3com.example/", "3com.example", 443),
        ("https://host/a@b?c@d#e@f", "host", 443),
    ],
)
def test_sane_url_is_read_as_it_will_be_dialled(url: str, host: str, port: int) -> None:
    checked = check_url(url, HTTP_TOO)
    assert (checked.host, checked.port) == (host, port)
    assert checked.url.raw_host == host


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "https://"),
        ("ftp://cdn.example/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("javascript:alert(1)", "https://"),
        ("//cdn.example/", "https://"),
        ("cdn.example/track.mp3", "https://"),
        ("tcp://cdn.example/", "https://"),
        ("https://", "valid URL|no host"),
        ("https:///track.mp3", "no host"),
        ("https:cdn.example", "no host"),
        ("https://:443/", "valid URL|no host"),
        ("https://user@cdn.example/", "user information"),
        ("https://user:secret@cdn.example/", "user information"),
        ("https://@cdn.example/", "user information"),
        ("https://8.8.8.8@127.0.0.1/", "user information"),
        ("https://cdn.example:0/", "port"),
        ("https://cdn.example:22/", "port"),
        ("https://cdn.example:81/", "port"),
        ("https://cdn.example:1023/", "port"),
        ("https://cdn.example:65536/", "valid URL"),
        ("https://cdn.example:443x/", "valid URL"),
        ("https://cdn.example:-443/", "valid URL"),
        ("https://::1/", "valid URL"),
        ("https://[::1/", "valid URL"),
        ("https://[::1].example/", "valid URL"),
        ("https://cdn.example\\@127.0.0.1/", "backslash"),
        ("https://cdn.example/a\\b", "backslash"),
        ("https://cdn.example/a b", "space"),
        (" https://cdn.example/", "space"),
        ("https://cdn.example/\n", "control"),
        ("https://cdn\t.example/", "control"),
        ("https://cdn.example/\0", "control"),
        ("https://cdn.example/\x7f", "control"),
        ("https://cdn.example/\x85", "control"),
        ("https://cdn.example/\u2028", "control"),
        ("https://cdn.example/\u00a0", "space"),
        ("https://cdn.example/\ud800", "control"),
        ("https://evil\u200b.example/", "valid URL"),
        ("https://a..b/", "DNS name"),
        ("https://.a/", "DNS name"),
        ("https://a../", "DNS name"),
        ("https://-a.example/", "DNS name"),
        ("https://a%00b/", "DNS name"),
        ("https://%31%32%37.0.0.1.example/", "DNS name"),
        ("https://*.example/", "DNS name"),
        ("https://a<b/", "DNS name"),
        (f"https://{'a' * 64}.example/", "DNS name"),
        (f"https://{'a.' * 127}example/", "DNS name"),
        ("https://1.2.3.4.5/", "not an IPv4"),
        ("https://256.1.1.1/", "not an IPv4"),
        ("https://09.1.1.1/", "not an IPv4"),
        ("https://host.7/", "not an IPv4"),
        ("https://host.0x/", "not an IPv4"),
        ("https://99999999999/", "not an IPv4"),
        ("https://[::12345]/", "IPv6|valid URL"),
        (f"https://cdn.example/{'a' * 2029}", "2048"),
    ],
)
def test_insane_url_is_refused_with_the_reason(url: str, word: str) -> None:
    with pytest.raises(RefusedUrl, match=word):
        check_url(url, HTTP_TOO)


def test_url_of_2048_characters_is_taken() -> None:
    assert check_url(f"https://cdn.example/{'a' * 2028}", HTTP_TOO).port == 443


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "224.0.0.1", "0.0.0.1", "0", "127.0.0.1."),
        *("2130706433", "017700000001", "0x7f000001", "0X7F000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.1"),
        *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1"),
        *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]"),
        *("[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]"),
        *("[fe80::1]", "[fc00::1]", "[ff02::1]", "[2002:7f00:1::]", "[2606:4700::5efe:7f00:1]"),
        *("[fe80::1%25eth0]", "[fe80::1%eth0]", "[2606:4700:4700::1111%251]"),
    ],
)
def test_literal_refused_address_is_refused_in_every_spelling(host: str) -> None:
    with pytest.raises(RefusedUrl, match=r"has a host (that is refused: |with a zone id)"):
        check_url(f"http://{host}/", HTTP_TOO)


@pytest.mark.parametrize("host", ["134744072", "0x08080808", "8.8.2056", "010.8.8.8", "8.8.8.8."])
def test_public_address_must_be_written_plainly(host: str) -> None:
    with pytest.raises(RefusedUrl, match="must be written 8"):
        check_url(f"http://{host}/", HTTP_TOO)


def test_plain_http_is_refused_where_https_is_demanded() -> None:
    with pytest.raises(RefusedUrl, match="https://"):
        check_url("http://cdn.example/", GuardPolicy())
    assert check_url("https://cdn.example/", GuardPolicy()).url.scheme == "https"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_allowed_literal_address_passes(host: str) -> None:
    policy = GuardPolicy(allow=LOOPBACK, https_only=False)
    assert check_url(f"http://{host}:8000/", policy).address is not None


def test_reason_does_not_repeat_the_url() -> None:
    with pytest.raises(RefusedUrl) as refused:
        check_url("https://user:secret@cdn.example/", HTTP_TOO)
    assert "secret" not in str(refused.value)


def tried(url: str) -> CheckedUrl | None:
    try:
        return check_url(url, HTTP_TOO)
    except RefusedUrl:
        return None


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_checked_or_refused_and_nothing_else(host: str, rest: str) -> None:
    for url in (host, f"http://{host}", f"https://{host}/{rest}", f"http://[{host}]:{rest}"):
        checked = tried(url)
        if checked is not None and checked.address is not None:
            assert refusal(checked.address, HTTP_TOO) is None


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "{:#x}", "0{:o}"]))
def test_every_number_is_refused_as_a_host(number: int, form: str) -> None:
    assert tried(f"http://{form.format(number)}/") is None
