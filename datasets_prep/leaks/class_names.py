"""Which classes of two datasets are the same, judged by their names alone."""

import unicodedata
from collections.abc import Iterable

# Different words of the field for one thing: VOC's, COCO's.
_WORDS = {"aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "tvmonitor": "tv"}


def plain(name: str) -> str:
    """A name without case, spaces and punctuation, in COCO's word where VOC has another.

    A name of signs alone is left as it is.
    """
    whole = unicodedata.normalize("NFKC", name.casefold())
    if not any(letter.isalnum() for letter in whole):
        return whole
    # Marks too: the vowels of many scripts are such.
    letters = "".join(letter for letter in whole if unicodedata.category(letter)[0] in "LNM")
    return _WORDS.get(letters, letters)


def shared(names: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Those of `names` that `others` hold too, in order.

    Words that mean the same, or a class that holds another (`person` and `rider`), are not found.
    """
    known = set(map(plain, others))
    return tuple(name for name in names if plain(name) in known)
