"""The commands `check` and `config`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from interhuman2mqtt import exit_codes
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.boxes import matrix
from interhuman2mqtt.config.problems import ConfigFileError, Problem, Severity


def check_command(arguments: Sequence[Path], box: str | None, out: TextIO) -> int:
    """Print what is wrong, a line each, and touch nothing; return 0, or 78 where there are errors.

    A secret's file that is missing is an error here, though the service would start and refuse that camera only;
    one that everyone may read is a warning, as is all that works and is probably not meant. The marks at the end of
    the last line are those that the box tells on `bridge/info`, and `watch` shows.
    """
    try:
        paths = configfile.find(arguments)
    except ConfigFileError as error:
        print(error, file=out)
        return exit_codes.CONFIG
    problems = configfile.check(paths, box)
    for problem in problems:
        print(problem, file=out)
    if any(problem.severity is Severity.ERROR for problem in problems):
        return exit_codes.CONFIG
    config, files_hash = configfile.load_marked(paths, box)
    runs = " ".join([_count(len(config.cameras)), *config.cameras])
    print(
        f"good: box {config.box.id} runs {runs} (configuration {configfile.config_hash(config)}, files {files_hash})",
        file=out,
    )
    return 0


def check_boxes_command(arguments: Sequence[Path], boxes: str, out: TextIO) -> int:
    """Print for all boxes of a fleet what is wrong, and which of them runs which camera; return 0, or 78.

    `boxes` are ids with commas between them, or the name of a file with an id a line.
    """
    try:
        fleet = configfile.check_boxes(configfile.find(arguments), _box_ids(boxes))
    except ConfigFileError as error:
        print(error, file=out)
        return exit_codes.CONFIG
    for problem in fleet.problems:
        print(problem, file=out)
    print("\n".join(matrix(fleet.boxes, fleet.cameras)), file=out)
    return exit_codes.CONFIG if any(problem.severity is Severity.ERROR for problem in fleet.problems) else 0


def _box_ids(boxes: str) -> list[str]:
    file = Path(boxes)
    try:
        text = file.read_text() if "," not in boxes and file.is_file() else boxes.replace(",", "\n")
    except (OSError, ValueError) as error:
        raise ConfigFileError((Problem(file, None, "--boxes", f"cannot be read: {error}"),)) from error
    ids = [line.partition("#")[0].strip() for line in text.splitlines()]
    return list(dict.fromkeys(filter(None, ids)))


def config_command(arguments: Sequence[Path], box: str | None, out: TextIO, err: TextIO) -> int:
    """Print the effective configuration as TOML; return 0, or 78 with the errors on `err`."""
    try:
        config = configfile.load(configfile.find(arguments), box)
    except ConfigFileError as error:
        print(error, file=err)
        return exit_codes.CONFIG
    out.write(configfile.effective_toml(config))
    return 0


def _count(cameras: int) -> str:
    return "no camera" if not cameras else "1 camera:" if cameras == 1 else f"{cameras} cameras:"
