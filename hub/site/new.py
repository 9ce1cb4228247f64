"""A new site that checks clean and can run: what ``hub init`` writes."""

from __future__ import annotations

from pathlib import Path

from hub.core.errors import HubError
from hub.core.vault import create_key_file
from hub.site import samples
from hub.site.load import load_site
from hub.site.places import key_file

TEMPLATE = Path(__file__).parent / "templates" / "site"


class NotEmptyError(HubError):
    """A new site needs a folder of its own."""

    code = "H217"


def new_site(folder: Path) -> list[str]:
    """Write a site into *folder*, which must be absent or empty, with a key file of its own; the names of its files.

    Raises :class:`NotEmptyError` rather than write over anything.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NotEmptyError("This folder is not empty.", where=str(folder), fix="Choose another one.")
    written = []
    for source in sorted(path for path in TEMPLATE.rglob("*") if path.is_file()):
        name = _name(source.relative_to(TEMPLATE))
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        written.append(name.as_posix())
    (folder / "var" / "secrets").mkdir(parents=True, mode=0o700)
    (folder / "var").chmod(0o700)
    site = load_site(folder)
    create_key_file(key_file(site))
    for channel in site.channels:
        for case in samples.cases(folder, channel):
            written += [f"{samples.FOLDER}/{case.shown}/{name}" for name in samples.update(site, case)]
    return sorted([*written, key_file(site).relative_to(site.folder).as_posix()])


def _name(template: Path) -> Path:
    """What a template becomes. Files that tools would take for their own end in .txt among the templates."""
    if template.name == "gitignore.txt":
        return template.with_name(".gitignore")
    return template.with_suffix("") if template.suffix == ".txt" else template
