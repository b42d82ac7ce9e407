"""The running whole: what is live now, and how it changes under open streams."""

from palaver.runtime.instances import InstanceState
from palaver.runtime.jobs import Jobs
from palaver.runtime.runtime import Runtime
from palaver.runtime.snapshot import ListedModel

__all__ = ["InstanceState", "Jobs", "ListedModel", "Runtime"]
