"""Files of the hosts from which several datasets come: GitHub, Google Drive and COCO's server."""

from datasets_prep.archives.sources import SourceFile

COCO = "http://images.cocodataset.org"


def split_list(
    name: str,
    sha256: str | None = None,
    repository: str = "juhongm999/hsnet",
    commit: str = "6b1bc12",
) -> SourceFile:
    """A list in `data/splits` of a repository, HSNet's or one after it, as of a commit."""
    raw, path = f"https://raw.githubusercontent.com/{repository}", f"data/splits/{name}"
    known = "" if sha256 else "no hash is published; "
    return SourceFile(
        name=name,
        urls=(f"{raw}/{commit}/{path}", f"{raw}/main/{path}"),
        sha256=sha256,
        extracted_size=0,
        page=f"https://github.com/{repository}",
        note=f"{known}{path} of that repository at commit {commit[:7]}",
    )


def on_drive(
    name: str, file_id: str, *, extracted_size: int, note: str, folder: str | None = None
) -> SourceFile:
    """An archive on Google Drive, fetched past the page that asks whether one is sure."""
    ask = f"download?id={file_id}&export=download&confirm=t"
    return SourceFile(
        name=name,
        urls=(f"https://drive.usercontent.google.com/{ask}",),
        extracted_size=extracted_size,
        page=f"https://drive.google.com/file/d/{file_id}/view",
        note=note,
        folder=folder,
    )


def of_coco(
    name: str, size: int, sha256: str, extracted_size: int, folder: str | None = None
) -> SourceFile:
    """An archive of COCO's server; its `folder` is called as it is itself, unless told."""
    folder = folder or name.removesuffix(".zip")
    parent = "annotations" if folder == "annotations" else "zips"
    return SourceFile(
        name=name,
        urls=(f"{COCO}/{parent}/{name}",),
        size=size,
        sha256=sha256,
        extracted_size=extracted_size,
        page="https://cocodataset.org/#termsofuse",
        note=f"it unpacks to {folder}, which serves as well",
        folder=folder,
    )


COCO_2017 = {
    "train2017": of_coco(
        "train2017.zip",
        19_336_861_798,
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        19_400_000_000,
    ),
    "val2017": of_coco(
        "val2017.zip",
        815_585_330,
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        820_000_000,
    ),
}
