"""What the classes of published fold lists are called, which name most of them by number."""

from datasets_prep.prepared.folds import FoldSet


def class_names(dataset: str, folds: FoldSet) -> dict[int, str]:
    """Names by class index.

    Args:
        dataset: "pascal", "coco" or "fss1000".
        folds: read from its list files; FSS-1000's images lie in folders of the classes' names.
    """
    from datasets_prep.datasets.coco.classes import CLASSES as COCO
    from datasets_prep.datasets.pascal.release import CLASSES as PASCAL

    if dataset == "fss1000":
        pairs = (pair for fold in folds.folds for pair in fold.test)
        return {index: image.partition("/")[0] for image, index in pairs}
    return dict(enumerate({"pascal": PASCAL, "coco": COCO}[dataset]))
