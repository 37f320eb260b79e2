"""What ``softmax``, ``mlp`` and ``logistic`` share: a labelled data set, of the catalogue or the site's own, dealt."""

from __future__ import annotations

from abc import abstractmethod

from gradwire.common.spec import Spec
from gradwire.worker.data import load
from gradwire.worker.data.catalog import entry_of
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import TaskKind, require_at_least
from gradwire.worker.tasks.own_data import FILE, load_own, refuse_own_data, require_own_spec
from gradwire.worker.tasks.partitions import Iid
from gradwire.worker.tasks.shards import Shards
from gradwire.worker.tasks.supervised import Model, SupervisedTask


class LabelledKind(TaskKind):
    """A model on samples with classes. Subclasses are dataclasses with these fields.

    Attributes:
        dataset: of the catalogue, or ``file`` for the site's own data.
        batch: samples per round; 0 is the worker's whole shard.
        features: of own data that have no schema.
        classes: likewise: their labels are 0, 1, ….
        label: likewise: name of the label's column, or of its array; empty for the last column, or for y.
    """

    dataset: str
    batch: int
    features: int
    classes: int
    label: str

    def __post_init__(self) -> None:
        require_at_least(0, self.name, batch=self.batch)
        require_own_spec(self.name, self.dataset, self.features, self.classes, self.label)

    @abstractmethod
    def model(self, inputs: int, classes: int, samples: int | None) -> Model:
        """The model for so many features and classes.

        Args:
            inputs: features of a sample.
            classes: of the samples.
            samples: of the training set of a catalogue's data set; None for a site's own data.

        Raises:
            SpecError: it is not one for so many classes.
        """

    @property
    def own_data(self) -> bool:
        """Whether the data set is a file of each site's own."""
        return self.dataset == FILE

    @property
    def known_dim(self) -> int | None:
        """Length of the parameter vector, from the catalogue or the spec: no data is loaded.

        Raises:
            DataError: no data set of that name.
        """
        if self.dataset == FILE:
            known = self.features and self.classes
            return self.model(self.features, self.classes, None).dim if known else None
        entry = entry_of(self.dataset)
        return self.model(entry.dim, entry.classes, entry.samples).dim

    def build(self, site: Site, *, workers: int, partition: Spec | None = None) -> SupervisedTask:
        """Load the data and deal it.

        Raises:
            DataError: the data set is missing or damaged.
            SpecError: it has more classes than the model.
            TaskError: too many workers for its samples, or flags of the site that the task would ignore.
        """
        own = self.dataset == FILE
        schema = ""
        if own:
            data, found = load_own(
                site, self.name, features=self.features, classes=self.classes, label=self.label
            )
            schema = found.text
        else:
            refuse_own_data(site, f"{self.name}({self.dataset})")
            data = load(self.dataset)
        samples = len(data.x_train)
        model = self.model(data.dim, data.classes, None if own else samples)
        if own and partition is None:
            shards = Shards.own(samples, site, self.batch)
        else:
            shards = Shards.partitioned(
                data.y_train, samples, workers, site.seed, partition or Iid(), self.batch
            )
        return SupervisedTask(model, data, shards, schema)
