"""The copies of a site's files that a running hub works from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hub.site.bundle import (
    Bundle,
    NoBundleError,
    base_of,
    bundle_folder,
    current,
    keep,
    noted,
    read_bundle,
    take_files,
    unpacked,
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/hub.toml").write_text("schema = 1\n")
    return tmp_path


def test_files_that_nobody_deployed_do_not_take_the_place_of_a_copy_that_is_gone(site: Path) -> None:
    assert noted(site) == ""
    running = current(site)
    (site / "config/hub.toml").write_text("schema = 1  # being edited\n")
    assert (current(site), noted(site)) == (running, running)
    shutil.rmtree(bundle_folder(site, running))
    with pytest.raises(NoBundleError, match="is gone"):
        current(site)
    assert noted(site) == running
    assert take_files(site) == current(site) != running


def test_a_working_copy_whose_files_were_taken_stands_on_them(site: Path) -> None:
    assert base_of(site) == ""
    first = take_files(site)
    assert base_of(site) == first
    (site / "config/hub.toml").write_text("schema = 1  # edited\n")
    assert base_of(site) == first
    assert take_files(site) == base_of(site) != first


def test_a_copy_that_somebody_edited_is_put_right(site: Path) -> None:
    bundle = read_bundle(site)
    folder = keep(site, bundle)
    (folder / "config/hub.toml").write_text("schema = 2\n")
    assert read_bundle(keep(site, bundle)).name == bundle.name
    assert [path.name for path in folder.parent.iterdir()] == [bundle.name]


def test_two_that_keep_the_same_version_at_once_do_not_hinder_each_other(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, replace = read_bundle(site), Path.replace

    def overtaken(making: Path, target: Path) -> Path:
        monkeypatch.undo()
        keep(site, bundle)
        return replace(making, target)

    monkeypatch.setattr(Path, "replace", overtaken)
    folder = keep(site, bundle)
    assert read_bundle(folder).name == bundle.name
    assert [path.name for path in folder.parent.iterdir()] == [bundle.name]


@pytest.mark.parametrize("name", ["../outside.toml", "/etc/outside.toml", "config/../../outside.toml"])
def test_a_stored_version_writes_nothing_outside_its_folder(name: str) -> None:
    with pytest.raises(NoBundleError, match="outside its site"):
        unpacked(Bundle("x", {name: b""}).packed())
    assert unpacked(Bundle("x", {"config/a.toml": b"b"}).packed()).files == {"config/a.toml": b"b"}
