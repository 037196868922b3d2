"""The Quadlet unit: what podman knows, as closed as the service's own unit, and with the life that the daemon needs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUADLET = ROOT / "systemd" / "interhuman2mqtt.container"
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


def settings(*, examples: bool = False) -> dict[str, dict[str, list[str]]]:
    """All values by section and key, in order."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in QUADLET.read_text().splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
        elif said := re.fullmatch(r"(#?)(\w+)=(.*)", line):
            if examples or not said[1]:
                found.setdefault(section, {}).setdefault(said[2], []).append(said[3])
        else:
            assert not line or line.startswith("# "), line
    return found


def test_podman_knows_every_key() -> None:
    """Each key of [Container], the examples included, is one of podman's; the other sections are systemd's."""
    found = settings(examples=True)
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


def test_the_container_is_closed() -> None:
    """Nothing is written but the state, no capability is kept, and secrets come from podman's store for one user."""
    container = settings()["Container"]
    assert [container[key] for key in ("ReadOnly", "NoNewPrivileges", "DropCapability")] == [
        ["true"],
        ["true"],
        ["all"],
    ]
    assert [volume.split(":")[1] for volume in container["Volume"] if not volume.endswith(":ro")] == [
        "/var/lib/interhuman2mqtt"
    ]
    assert container["PodmanArgs"] == [  # of /dev, which is there whole: V4L2 and ALSA
        '--device-cgroup-rule="c 81:* rw" --device-cgroup-rule="c 116:* rw"'
    ]
    assert all("uid=10001,mode=0400" in secret for secret in settings(examples=True)["Container"]["Secret"])
    assert "USER 10001:10001" in (ROOT / "Containerfile").read_text()
