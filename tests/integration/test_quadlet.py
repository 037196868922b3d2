"""The Quadlet units: what podman knows, closed as the service's own units, and with the life that the daemon needs."""

import re
from pathlib import Path

import pytest

from interhuman2mqtt.runtime import state_dir

ROOT = Path(__file__).parents[2]
DAEMON, PAGE = "interhuman2mqtt", "interhuman2mqtt-web"
WRITABLE = {
    DAEMON: ["/var/lib/interhuman2mqtt", "/run/interhuman2mqtt/browser"],
    PAGE: ["/var/lib/interhuman2mqtt-web"],
}
both = pytest.mark.parametrize("unit", [DAEMON, PAGE])
KNOWN = set(
    re.findall(
        r"\w+",
        """
        AddCapability AddDevice AddHost Annotation AutoUpdate CgroupsMode ContainerName ContainersConfModule
        DNS DNSOption DNSSearch DropCapability Entrypoint Environment EnvironmentFile EnvironmentHost Exec
        ExposeHostPort GIDMap GlobalArgs Group GroupAdd HealthCmd HealthInterval HealthLogDestination
        HealthMaxLogCount HealthMaxLogSize HealthOnFailure HealthRetries HealthStartPeriod HealthStartupCmd
        HealthStartupInterval HealthStartupRetries HealthStartupSuccess HealthStartupTimeout HealthTimeout
        HostName IP IP6 Image Label LogDriver LogOpt Mask Memory Mount Network NetworkAlias NoNewPrivileges
        Notify PidsLimit Pod PodmanArgs PublishPort Pull ReadOnly ReadOnlyTmpfs ReloadCmd ReloadSignal Retry
        RetryDelay Rootfs RunInit SeccompProfile Secret SecurityLabelDisable SecurityLabelFileType
        SecurityLabelLevel SecurityLabelNested SecurityLabelType ServiceName ShmSize StartWithPod StopSignal
        StopTimeout SubGIDMap SubUIDMap Sysctl Timezone Tmpfs UIDMap Ulimit Unmask User UserNS Volume
        WorkingDir
        """,
    )
)
"""The options of [Container] in podman-systemd.unit(5)."""


def settings(unit: str = DAEMON, *, examples: bool = False) -> dict[str, dict[str, list[str]]]:
    """All values by section and key, in order."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in (ROOT / "systemd" / f"{unit}.container").read_text().splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
        elif said := re.fullmatch(r"(#?)(\w+)=(.*)", line):
            if examples or not said[1]:
                found.setdefault(section, {}).setdefault(said[2], []).append(said[3])
        else:
            assert not line or line.startswith("# "), line
    return found


@both
def test_podman_knows_every_key(unit: str) -> None:
    """Each key of [Container], the examples included, is one of podman's; the other sections are systemd's."""
    found = settings(unit, examples=True)
    assert found.keys() == {"Unit", "Container", "Service", "Quadlet", "Install"}
    assert found["Container"].keys() - KNOWN == set()


def test_life_of_the_container() -> None:
    """It says when it is ready, is reloaded with an answer, killed if it hangs, and not restarted for a wrong file."""
    container, service = settings()["Container"], settings()["Service"]
    assert container["Notify"] == ["true"]
    assert service["ExecReload"] == ["/usr/bin/podman exec interhuman2mqtt interhuman2mqtt reload"]
    assert "ReloadSignal" not in container  # podman 5.4 refuses the whole file for it
    assert container["HealthOnFailure"] == ["kill"]
    assert container["HealthCmd"] == ["interhuman2mqtt health"]
    assert int(container["StopTimeout"][0]) > 43
    assert service["Restart"] == ["on-failure"]
    assert service["RestartPreventExitStatus"] == ["78"]


@both
def test_the_container_is_closed(unit: str) -> None:
    """Nothing is written but the state, no capability is kept, and secrets come from podman's store for one user."""
    container = settings(unit)["Container"]
    assert [container[key] for key in ("ReadOnly", "NoNewPrivileges", "DropCapability")] == [
        ["true"],
        ["true"],
        ["all"],
    ]
    volumes = [volume.split(":") for volume in container["Volume"]]
    assert [volume[1] for volume in volumes if volume[-1] != "ro"] == WRITABLE[unit]
    assert all("uid=10001,mode=0400" in secret for secret in settings(unit, examples=True)["Container"]["Secret"])
    assert "USER 10001:10001" in (ROOT / "Containerfile").read_text()


def test_devices_of_the_daemon() -> None:
    """Of /dev, which is there whole, it may use V4L2 and ALSA; the page has none of it."""
    rules = ['--device-cgroup-rule="c 81:* rw" --device-cgroup-rule="c 116:* rw"']
    assert settings()["Container"]["PodmanArgs"] == rules
    assert not {"PodmanArgs", "AddDevice", "GroupAdd"} & settings(PAGE)["Container"].keys()


def test_a_browser_as_a_camera() -> None:
    """The page has the folder of the daemon's sockets, where both look for it, and nothing else of the daemon."""
    shared = "interhuman2mqtt-browser:/run/interhuman2mqtt/browser"
    volumes = {unit: settings(unit)["Container"]["Volume"] for unit in (DAEMON, PAGE)}
    assert shared in volumes[DAEMON]
    assert f"{shared}:ro" in volumes[PAGE]
    places = [{volume.split(":")[0] for volume in volumes[unit]} for unit in (DAEMON, PAGE)]
    assert places[0] & places[1] == {"interhuman2mqtt-browser"}
    assert state_dir.find_browsers({}) == Path("/run/interhuman2mqtt/browser")
    assert state_dir.find_runtime(state_dir.SYSTEM, {}) == Path("/run/interhuman2mqtt")
