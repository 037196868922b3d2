"""The environment that tells the libraries inside PyAV's wheel where the system has their files."""

# They were built with the prefix /tmp/vendor, below which any local user can plant what they would load: alsa-lib a
# configuration that names shared objects, and the objects; GnuTLS a policy that allows what nobody should. On a machine
# where nobody did, ALSA finds no configuration at all and opens no device. So each such path is set here, to the
# system's own where it exists, else to the small `alsa.conf` of this package: slim images have no libasound2-data, and
# to require it lost, since a few lines suffice for `hw:`, `plughw:`, `dsnoop:`. Checking for files below /tmp before
# each opening was refused as a race. The user's own values of these variables win.
#
# It has to stand in the environment before `av` is imported, because GnuTLS reads its own while it is loaded: so this
# module is one of its own, and imports nothing that imports `av`.

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SHIPPED: Final = Path(__file__).parent
"""The folder of our `alsa.conf`, and nothing else that alsa-lib would look for."""
ALSA: Final = Path("/usr/share/alsa")
PLUGINS: Final = ("/usr/lib/{machine}-linux-gnu/alsa-lib", "/usr/lib64/alsa-lib", "/usr/lib/alsa-lib")
"""Of Debian and its kin, of Fedora's and SUSE's, of Arch's and Alpine's."""


def environment(given: Mapping[str, str], alsa: Path = ALSA, plugins: tuple[str, ...] = PLUGINS) -> dict[str, str]:
    """Return the variables that the libraries read; those in `given` are left as they are.

    With the system's `alsa.conf` every name works that works for `arecord` (`default`, `dsnoop:`, PipeWire's); without
    it (slim images have none) those of the hardware do.
    """
    has_system = (alsa / "alsa.conf").is_file()
    folder = alsa if has_system else SHIPPED
    places = [Path(place.format(machine=platform.machine())) for place in plugins]
    paths = {
        "ALSA_CONFIG_PATH": folder / "alsa.conf",
        "ALSA_CONFIG_DIR": folder,
        "ALSA_CONFIG_UCM": folder / "ucm",
        "ALSA_CONFIG_UCM2": folder / "ucm2",
        "ALSA_PLUGIN_DIR": next((place for place in places if place.is_dir()), SHIPPED),
        "GNUTLS_SYSTEM_PRIORITY_FILE": Path("/etc/gnutls/config"),
    }
    return {name: given.get(name) or str(path) for name, path in paths.items()}
