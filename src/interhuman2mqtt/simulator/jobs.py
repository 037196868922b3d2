"""The jobs of `/v2/upload`: queued, running, then completed or failed, and gone an hour later.

What a job is follows from its age alone, so nothing runs for it, and a clock that a test moves moves it.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from msgspec import Struct

from interhuman2mqtt.simulator.errors import Answer, lookup
from interhuman2mqtt.simulator.settings import Uploads


class Job(Struct, frozen=True, kw_only=True):
    """One job."""

    id: str
    owner: str
    """The credential that it was submitted with."""
    model: str
    made: float
    """Seconds on the store's clock."""
    created_at: datetime
    result: Mapping[str, Any]
    failure: str | None = None
    """The error that it ends with."""


class JobStore:
    """All jobs of a run.

    Args:
        uploads: How long they take, and how long they are kept.
        now: Seconds on a clock that does not jump.
    """

    def __init__(self, uploads: Uploads, now: Callable[[], float]) -> None:
        self._uploads = uploads
        self._now = now
        self._jobs: dict[str, Job] = {}

    def check_capacity(self) -> None:
        """Raise Answer where there are as many unfinished jobs as the instance takes."""
        most = self._uploads.capacity
        if most and sum(not self.is_done(job) for job in self._jobs.values()) >= most:
            raise Answer("ih1002", f"The instance has {most} job(s) already.")

    def add(self, owner: str, model: str, result: Mapping[str, Any], failure: str | None) -> Job:
        """Accept a job."""
        job = Job(
            id=uuid4().hex,
            owner=owner,
            model=model,
            made=self._now(),
            created_at=datetime.now(UTC),
            result=result,
            failure=failure,
        )
        self._jobs[job.id] = job
        return job

    def find(self, job_id: str, owner: str) -> Job:
        """Return a job; raise Answer (ih4021) for one that is unknown, somebody else's, or expired."""
        job = self._jobs.get(job_id)
        if job is not None and self._now() >= job.made + self._uploads.lifetime:
            del self._jobs[job_id]
            job = None
        if job is None or job.owner != owner:
            raise Answer("ih4021", "There is no such job, or it has expired.")
        return job

    def forget(self, job_id: str) -> None:
        """Lose a job."""
        self._jobs.pop(job_id, None)

    def seconds_left(self, job: Job) -> float:
        """Return how long a job still needs."""
        return max(0.0, job.made + self._uploads.queued + self._uploads.running - self._now())

    def is_done(self, job: Job) -> bool:
        """Decide whether a job is completed or failed."""
        return math.isclose(self.seconds_left(job), 0.0, abs_tol=1e-6)

    def envelope(self, job: Job) -> dict[str, Any]:
        """Return what both routes answer with; what does not apply is left out."""
        created_at = job.created_at.replace(microsecond=0)
        expires_at = created_at + timedelta(seconds=self._uploads.lifetime)
        return {
            "job_id": job.id,
            "status": self._status(job),
            "model": job.model,
            "created_at": _iso(created_at),
            "expires_at": _iso(expires_at),
            "status_url": f"/v2/upload/jobs/{job.id}",
            **(self._outcome(job) if self.is_done(job) else {}),
        }

    def _status(self, job: Job) -> str:
        if self.is_done(job):
            return "completed" if job.failure is None else "failed"
        return "queued" if self._now() < job.made + self._uploads.queued else "running"

    @staticmethod
    def _outcome(job: Job) -> dict[str, Any]:
        if job.failure is None:
            return {"result": job.result}
        error = lookup(job.failure)
        return {
            "error": {
                "error_id": error.code,
                "correlation_id": str(uuid4()),
                "link": error.link,
                "message": f"{error.message}.",
            }
        }


def _iso(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")
