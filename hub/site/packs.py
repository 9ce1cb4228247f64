"""EHR packs: folders of channels, mappings, samples and a page, which ``hub new pack`` copies into a site.

A pack has the shape of a site, so that nothing here knows any EHR: whoever writes another one writes files.
"""

from __future__ import annotations

from pathlib import Path

from hub.core.errors import HubError
from hub.site.findings import did_you_mean

PARTS = ("channels", "config", "transforms", "tests")
"""The folders of a pack that go where a site has them."""
_HERE = Path(__file__).resolve().parent.parent


class PackError(HubError):
    """A pack cannot be copied as asked."""

    code = "H257"


def packs() -> dict[str, Path]:
    """The packs that came with the hub by name: beside its code in a checkout, within it where it was installed."""
    folder = next((place for place in (_HERE / "packs", _HERE.parent / "packs") if place.is_dir()), None)
    pages = sorted(folder.glob("*/README.md")) if folder else []
    return {page.parent.name: page.parent for page in pages}


def add_pack(site: Path, name: str) -> list[str]:
    """Copy the pack *name* into the site at *site*; the names of the files written.

    The pack's page becomes ``docs/NAME.md``, its simulator ``simulators/NAME.py``. Raises :class:`PackError` when there
    is no such pack, or where a file would be written over: then nothing is copied.
    """
    known = packs()
    if name not in known:
        raise PackError(
            f'There is no pack "{name}".',
            expected=f"one of {', '.join(known)}" if known else "packs beside the hub's code",
            fix=did_you_mean(name, known).capitalize(),
        )
    files = _files(known[name], name)
    for target in files:
        if (site / target).exists():
            raise PackError("This file is there already.", where=target, fix="Move it away, or keep what you have.")
    for target, source in files.items():
        (site / target).parent.mkdir(parents=True, exist_ok=True)
        (site / target).write_bytes(source.read_bytes())
    return sorted(files)


def _files(pack: Path, name: str) -> dict[str, Path]:
    """Where each file of *pack* stands in a site."""
    found = {f"docs/{name}.md": pack / "README.md"}
    if (pack / "simulator.py").is_file():
        found[f"simulators/{name}.py"] = pack / "simulator.py"
    for part in PARTS:
        for path in sorted((pack / part).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                found[path.relative_to(pack).as_posix()] = path
    return found
