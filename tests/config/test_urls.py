"""Addresses that are right; those that are wrong are among the broken files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interhuman2mqtt.config import urls
from interhuman2mqtt.config.problems import BadValueError


@pytest.mark.parametrize(
    "url",
    [
        "wss://api.interhuman.ai/v2/stream/analyze",
        "wss://gateway.lan:8443/interhuman/v1/stream/analyze",
        "ws://127.0.0.1:9000/v2/stream/analyze",
        "ws://[::1]:9000/v2/stream/analyze",
        "ws://localhost/v2/stream/analyze",
    ],
)
def test_the_cloud_may_be_anywhere_with_tls_and_here_without(url: str) -> None:
    """TLS is asked for but on loopback, by name and by number."""
    assert url == urls.check_cloud(url)


@pytest.mark.parametrize("url", ["mqtt://localhost", "mqtts://broker.lan:8883/", "mqtt://[fd00::1]:1883"])
def test_brokers(url: str) -> None:
    """A broker is a host, with or without TLS and port."""
    assert url == urls.check_broker(url)


@pytest.mark.parametrize("url", ["", "http://proxy.lan:3128", "http://proxy.lan:3128/"])
def test_proxies(url: str) -> None:
    """A proxy is a host, or nothing."""
    assert url == urls.check_proxy(url)


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://10.0.0.5/stream1",
        "rtsps://[fd00::5]:7441/cam/realmonitor?channel=1&subtype=0",
        "v4l2:/dev/video0",
        "v4l2:1-1.4",
        "file:/srv/clip.mp4",
        "file:///srv/clip.mp4",
        "test:",
    ],
)
def test_sources(source: str) -> None:
    """Each kind of source is taken as it is written."""
    assert source == urls.check_source(source)


def test_the_version_is_in_the_path() -> None:
    """The path of the URL says which API is spoken."""
    assert [urls.api_version(f"wss://host/v{number}/stream/analyze") for number in (1, 2)] == [1, 2]


@pytest.mark.parametrize("url", ["wss://host/v2/stream/analyze", "ws://10.0.0.9/", "ws://localhost.evil.example/"])
def test_other_hosts_are_not_this_machine(url: str) -> None:
    """Only the name localhost and numbers of loopback are this machine; nothing is looked up."""
    assert not urls.is_loopback(url)


@pytest.mark.parametrize("check", [urls.check_cloud, urls.check_broker, urls.check_proxy, urls.check_source])
@given(
    user=st.text(max_size=5), password=st.text(min_size=5).map(lambda text: f"{text}s3cret"), rest=st.text(max_size=9)
)
def test_no_url_with_credentials_is_accepted_or_echoed(check: object, user: str, password: str, rest: str) -> None:
    """Whatever characters a password has, the URL is refused and the message does not hold it."""
    assert callable(check)
    for scheme in ("rtsp", "mqtt", "wss", "http", "mqtts", "rtmp"):
        with pytest.raises(BadValueError) as caught:
            check(f"{scheme}://{user}:{password}@host/{rest}/v2/stream/analyze")
        assert "s3cret" not in str(caught.value)
