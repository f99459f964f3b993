"""What N-way protocols ask of a dataset."""

from benchmarks.protocols.catalog import Protocol
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset


def check_ways(protocol: Protocol, dataset: PreparedDataset) -> None:
    """Refuse a dataset whose pixels may belong to several classes, where one class gets each.

    Raises:
        DatasetError: naming both.
    """
    if protocol.ways > 1 and not dataset.has_label_maps:
        raise DatasetError(
            f"classes of {dataset.name} overlap, and {protocol.name} gives a pixel to one class "
            f"alone"
        )
