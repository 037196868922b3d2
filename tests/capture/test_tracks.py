"""What cannot be copied is encoded: with a key frame each second, at the size and rate asked for, and in time."""

import time
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy  # noqa: ICN001
import pytest

from capture.material import SMALL, Captured, captured, media, numbers
from interhuman2mqtt.capture.choose import Adjustment
from interhuman2mqtt.capture.tracks import Copied, EncodedSound, EncodedVideo, Silence
from interhuman2mqtt.errors import Reason, Refused
from rig.clips import Clip, made, opened, packet_times
