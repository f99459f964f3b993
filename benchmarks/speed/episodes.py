"""The list to measure on where a user has none."""

from datasets_prep.episodes import hsnet
from datasets_prep.episodes.episode import Episode
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.prepared.folds import FoldSet, contiguous, split

# Test images per class of PASCAL-5i's fold 0; 345 images hold its 346 pairs.
_FOLD0 = (80, 57, 86, 58, 65)


def usual_list(shots: int) -> list[Episode]:
    """A list as repetitive as PASCAL-5i's fold 0 under the `hsnet` protocol: 1000 episodes."""
    pairs = [(f"{index}-{n:02d}", index) for index, size in enumerate(_FOLD0) for n in range(size)]
    folds = FoldSet(split(contiguous(len(_FOLD0), 1), (), pairs))
    return hsnet.draw(EpisodePool("generated", folds, folds.fold(0)), shots)
