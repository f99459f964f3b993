"""Links are followed once, and those that lead nowhere come as themselves."""

from pathlib import Path

from datasets_prep.runtime.walk import files_below


def test_links_are_followed_but_in_no_circle(tmp_path: Path) -> None:
    top, other = tmp_path / "top", tmp_path / "other"
    for folder in (top / "a/b", other):
        folder.mkdir(parents=True)
    for path in (top / "one", top / "a/b/two", other / "three"):
        path.write_text("")
    (top / "a/linked").symlink_to(other)
    (top / "file").symlink_to(other / "three")
    (top / "nothing").symlink_to(tmp_path / "nowhere")
    (other / "circle").symlink_to(top)
    found = {path.relative_to(top).as_posix() for path in files_below(top)}
    assert found == {
        *("one", "a/b/two", "a/linked/three", "file"),
        *("nothing", "a/linked/circle"),  # not followed
    }
