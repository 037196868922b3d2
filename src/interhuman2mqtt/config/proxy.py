"""The proxy on the way to the cloud."""

import os

from interhuman2mqtt.config.model import Interhuman


def to_cloud(interhuman: Interhuman) -> str | None:
    """Return the configured proxy, else the environment's; an empty one is none."""
    if interhuman.proxy is not None:
        return interhuman.proxy or None
    if interhuman.url.startswith("ws:"):
        return None
    return os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY") or None
