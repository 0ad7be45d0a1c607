"""The roots that tests share."""

import ssl

import httpx

from service.kit.http.one_shot import OneShotTransport


def test_all_who_trust_the_same_have_one_context_and_it_verifies() -> None:
    one, another = (OneShotTransport()._ssl_context for _ in range(2))
    assert one is another is httpx.create_ssl_context()
    assert (one.verify_mode, one.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_context_of_ones_own_and_none_are_not_shared() -> None:
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert httpx.create_ssl_context(verify=own) is own
    assert httpx.create_ssl_context(verify=False).verify_mode == ssl.CERT_NONE
    assert httpx.create_ssl_context().verify_mode == ssl.CERT_REQUIRED
