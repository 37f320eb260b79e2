"""The user's model as one flat vector: a torch module, or arrays by name."""

from gradwire.worker.join.models.base import JoinedModel as JoinedModel
from gradwire.worker.join.models.base import joined_model as joined_model
