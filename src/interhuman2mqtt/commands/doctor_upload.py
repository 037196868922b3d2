"""The check of `doctor` whether the keys may upload recordings, which is a scope of its own: no file is sent for it."""

from uuid import uuid4

from interhuman2mqtt.commands.doctor_checks import is_out_of_sight
from interhuman2mqtt.commands.doctor_report import Check, down, failed, ok, skipped
from interhuman2mqtt.config import CameraConfig, Config, SecretRef
from interhuman2mqtt.errors import Outage, Reason
from interhuman2mqtt.upload.client import UploadClient, UploadEndpoint, endpoint_of
from interhuman2mqtt.upload.current_key import CurrentKey

SCOPE = "interhumanai.upload"
WITH_SCOPE = f"add the scope {SCOPE} to the key in the console, or `--scope {SCOPE}` to `interhuman2mqtt token mint`"
ABOUT_KEYS = {Reason.SCOPE_MISSING, Reason.UNAUTHORIZED, Reason.TOKEN_EXPIRED}
"""What says something of a key; the rest is about the way to the cloud, and the check of the session says it."""


async def check_uploads(config: Config, proxy: str | None) -> list[Check]:
    """Check each key that there is, with what its cameras ask for."""
    keys: dict[SecretRef, list[CameraConfig]] = {}
    for camera in config.cameras.values():
        if camera.api_key is not None and not is_out_of_sight(camera.api_key):
            keys.setdefault(camera.api_key, []).append(camera)
    if not keys:
        return []
    try:
        endpoint = endpoint_of(config.interhuman.url, ca_file=config.interhuman.ca_file, proxy=proxy)
    except Outage as outage:
        return [skipped("uploads", outage.detail)]
    return [await _check_key(config, endpoint, ref, cameras) for ref, cameras in keys.items()]


async def _check_key(config: Config, endpoint: UploadEndpoint, ref: SecretRef, cameras: list[CameraConfig]) -> Check:
    """Ask for a job that nobody has: who may upload is told that there is none."""
    name = "uploads" if ref == config.interhuman.api_key else f"uploads of {cameras[0].id}"
    asking = [camera.id for camera in cameras if camera.backfill]
    try:
        await UploadClient(endpoint, CurrentKey(ref, name)).job(uuid4().hex)
    except Outage as outage:
        if outage.reason is not Reason.JOB_LOST:
            return _judged(name, asking, outage)
    return ok(name, "the key may upload recordings, for `backfill` and `analyze`")


def _judged(name: str, asking: list[str], outage: Outage) -> Check:
    if outage.reason not in ABOUT_KEYS:
        return skipped(name, f"whether the key may is not known ({outage.reason.value}): {outage.detail}")
    if not asking:
        reason = "`analyze` would be refused, and no camera has `backfill`"
        return skipped(name, f"{reason}: {outage.detail}" if outage.reason is Reason.SCOPE_MISSING else reason)
    if outage.reason is not Reason.SCOPE_MISSING:
        return down(name, outage)
    return failed(name, f"{outage.reason.value}: backfill of {', '.join(asking)}: {outage.detail}", WITH_SCOPE)
