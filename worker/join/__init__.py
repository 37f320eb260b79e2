"""``gradwire.join``: a training loop of the user's own takes part in a run."""

from gradwire.worker.join.api import join as join
from gradwire.worker.join.run import Finished as Finished
from gradwire.worker.join.run import JoinedRun as JoinedRun
