"""What an episode costs, whatever a cache had already."""

from collections.abc import Sequence

from benchmarks import RunRecord


def uncached_milliseconds(records: Sequence[RunRecord]) -> float | None:
    """Milliseconds of model time an episode, its query and each of its K supports encoded anew.

    A run's own time says little: a model whose images another one over the same backbone has
    encoded shows a time without them. So an encode's mean time, of all runs given, is taken as
    often as an episode needs it, and the segmenting is added. A part of image features that another
    model has encoded is taken to cost what the parts cost that this one has encoded.

    Args:
        records: runs of one model with the same number of shots, such as all folds of a row.

    Returns:
        None where no run tells: none was timed by stage, or all encodes had been made before.
    """
    # Both are of the last sitting alone, so that they fit each other.
    timed = [(own.cache, own.stages) for own in records if own.cache and own.stages]
    caches, stages = [cache for cache, _ in timed], [each for _, each in timed]
    seconds = sum(each.segment for each in stages)
    for time, made, needed in (
        (
            sum(each.encode_images for each in stages),
            sum(each.image_encodes for each in caches),
            sum(each.naive_image_encodes for each in caches),
        ),
        (
            sum(each.encode_supports for each in stages),
            sum(each.support_encodes for each in caches),
            sum(each.naive_support_encodes for each in caches),
        ),
    ):
        if needed and not made:
            return None
        seconds += time / made * needed if needed else 0.0
    # Each episode has K supports.
    supports = sum(each.naive_support_encodes for each in caches)
    return 1000 * seconds * records[0].setup.shots / supports if supports else None
