"""`analyze`: sends recordings to the upload endpoint, and prints or publishes what the cloud finds in them.

::

    file ──► upload.split ──► upload.recording ──► analyze_output      a timeline, or lines of JSON
             (a process)      (jobs on record) └─► analyze_publish     <camera>/late/<type>
"""

import signal
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TextIO

import trio
from msgspec import Struct

from interhuman2mqtt import exit_codes
from interhuman2mqtt.commands.analyze_output import Output
from interhuman2mqtt.commands.analyze_progress import progress
from interhuman2mqtt.commands.analyze_publish import publish
from interhuman2mqtt.config import CameraConfig, Config, secrets
from interhuman2mqtt.config import loader as configfile
from interhuman2mqtt.config.problems import BadValueError, did_you_mean, shown
from interhuman2mqtt.config.value_types import check_name
from interhuman2mqtt.errors import Outage, Reason, Refused
from interhuman2mqtt.events import Clock
from interhuman2mqtt.runtime import log, stdout
from interhuman2mqtt.runtime.sanitize import clean_lines
from interhuman2mqtt.upload.client import UploadClient, UploadEndpoint, endpoint_of
from interhuman2mqtt.upload.current_key import CurrentKey
from interhuman2mqtt.upload.jobs import PartRecord, RecordStore, find_folder
from interhuman2mqtt.upload.late_events import Identity, events_of
from interhuman2mqtt.upload.recording import AnalysisOptions, RecordingAnalysis, UploadOutcome
from interhuman2mqtt.upload.split_ipc import INTER_1, INTER_2

NO_CAMERA = "recording"
"""The level of the ids of events that belong to no camera."""


class Options(Struct, frozen=True, kw_only=True):
    """The options of the command line."""

    files: Sequence[Path]
    camera: str | None = None
    at: datetime | None = None
    model: str | None = None
    publish: bool = False
    resend: bool = False
    config: Sequence[Path] = ()
    box: str | None = None
    as_json: bool = False


class Unusable(Exception):  # noqa: N818 - it names what happened
    """The command line makes no sense; the text says why."""


class _Plan(NamedTuple):
    """Plan of the analysis."""

    config: Config
    endpoint: UploadEndpoint
    client: UploadClient
    wishes: AnalysisOptions


def analyze_command(options: Options, out: TextIO, err: TextIO) -> int:
    """Analyse recordings; 0, or 69 where one of them was not, or could not be published. Raises ConfigError."""
    log.setup("error", "console")
    secrets.use_credstore()
    config = configfile.load(configfile.find(options.config), options.box)
    output = Output(out, err, as_json=options.as_json, quiet=options.publish)
    try:
        plan = _plan(options, config, err)
    except Unusable as error:
        print(clean_lines(error), file=err)
        return exit_codes.USAGE
    except Outage as outage:
        output.failed(None, outage)
        return exit_codes.UNAVAILABLE
    run = _Run(options, plan, output, err)
    try:
        trio.run(run.run)
    except* BrokenPipeError:  # whoever read it has seen enough
        stdout.discard()
    return run.status


def _plan(options: Options, config: Config, err: TextIO) -> _Plan:
    if options.at is not None and len(options.files) > 1:
        raise Unusable("--at says when one recording began: give the files one by one")
    camera = _camera(options, config, err)
    endpoint = endpoint_of(
        config.interhuman.url, ca_file=config.interhuman.ca_file, proxy=configfile.cloud_proxy(config.interhuman)
    )
    asks = config.interhuman if camera is None else camera
    wishes = AnalysisOptions(
        version=endpoint.version,
        model=_model(options, endpoint, asks.model),
        goal_dimensions=asks.goal_dimensions if endpoint.version == 1 else (),
        resend=options.resend,
        camera=options.camera,
        began_at=options.at,
    )
    ref, is_own = asks.api_key, asks.api_key != config.interhuman.api_key
    if ref is None:
        raise Refused(Reason.SECRET_MISSING, "no api_key is configured: set interhuman.api_key to where the key is")
    key = CurrentKey(ref, f"cameras.{options.camera}.api_key" if is_own else "interhuman.api_key")
    key.header()  # that there is none is said before anything is cut
    return _Plan(config, endpoint, UploadClient(endpoint, key), wishes)


def _camera(options: Options, config: Config, err: TextIO) -> CameraConfig | None:
    if options.camera is None:
        if options.publish:
            raise Unusable("--publish needs --camera: it is published on the topics of a camera")
        return None
    try:
        check_name(options.camera)
    except BadValueError as error:
        raise Unusable(f"--camera {error}") from None
    camera = config.cameras.get(options.camera)
    if camera is None:
        meant = did_you_mean(options.camera, config.cameras)
        print(clean_lines(f"note: {options.camera} is no camera of this box{meant}"), file=err)
    return camera


def _model(options: Options, endpoint: UploadEndpoint, configured: str) -> str | None:
    """Return the model that is asked for; None where it depends on what the file holds."""
    if endpoint.version == 1:
        if options.model not in {None, INTER_1}:
            raise Unusable(f"--model {shown(options.model)}: interhuman.url is that of /v1, which has {INTER_1} alone")
        return INTER_1
    return options.model or (configured if configured != INTER_2 else None)


class _Run:
    """One run of the command."""

    def __init__(self, options: Options, plan: _Plan, output: Output, err: TextIO) -> None:
        self.status = 0
        """The exit status."""
        self._options = options
        self._plan = plan
        self._output = output
        self._err = err

    async def run(self) -> None:
        """Analyse the files one after the other, until a signal."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_by_signal, signals, nursery.cancel_scope)
                for file in self._options.files:
                    await self._analyze(file)
                nursery.cancel_scope.cancel()

    async def _end_by_signal(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        await anext(signals)
        self.status = exit_codes.INTERRUPTED
        print("interrupted: the same command goes on where this one was", file=self._err)
        scope.cancel()

    async def _analyze(self, file: Path) -> None:
        url, store = self._plan.endpoint.server.url, RecordStore(find_folder())
        try:
            with progress(file.name, self._err) as listener:
                outcome = await RecordingAnalysis(self._plan.client, url, store, self._plan.wishes, listener).run(file)
            await self._report(file, outcome)
        except Outage as outage:
            self._fail(file, outage)

    def _fail(self, file: Path, outage: Outage, part: PartRecord | None = None) -> None:
        self.status = exit_codes.UNAVAILABLE
        self._output.failed(file, outage, part)

    async def _report(self, file: Path, outcome: UploadOutcome) -> None:
        config, start_at = self._plan.config, self._options.at or outcome.record.recorded_at
        identity = Identity(
            box=config.box.id,
            camera=self._options.camera or NO_CAMERA,
            start_at=start_at,
            # what a file says of itself comes from a clock that nobody here has seen
            clock=Clock.SYNCED if self._options.at else Clock.UNKNOWN,
            redact=frozenset(config.privacy.redact),
        )
        events = tuple(events_of(outcome.record, identity))
        self._output.analyzed(file, outcome.record, identity, events)
        for failure in outcome.failures:
            self._fail(file, failure.outage, outcome.record.parts[failure.part])
        if self._options.publish and start_at is None:
            sentence = "when it was recorded is not known, so nothing was published: say it by --at"
            raise Refused(Reason.CLOCK_UNSET, f"{sentence} (the file is not sent again)")
        if self._options.publish and events:
            await publish(config, events)
            self._output.published(
                file, len(events), f"{config.mqtt.base_topic}/{config.box.id}/{identity.camera}/late"
            )
