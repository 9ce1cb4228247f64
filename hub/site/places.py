"""Where a site keeps what is not in its files: everything below ``var/``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from hub.site.certificate import CertificateError, ensure_certificate
from hub.site.load import Site


def key_file(site: Site) -> Path:
    """The keys that everything in the store is sealed with."""
    return site.var / "keys.json"


def control_socket(site: Site) -> Path:
    """The engine's control socket."""
    return site.var / "control.sock"


def web_certificate(site: Site) -> tuple[Path, Path] | None:
    """Certificate and key that the pages speak TLS with; None when they do not. The site's own one is made if need be.

    Raises `CertificateError` when the files that the settings name cannot be read.
    """
    assert site.settings is not None
    web = site.settings.web
    if not web.speaks_tls:
        return None
    if not web.certificate:
        return ensure_certificate(site.var / "tls", web.listen.removeprefix("tcp:").rpartition(":")[0])
    named = (site.home / web.certificate, site.home / web.key)
    for path in named:
        if not path.is_file():
            raise CertificateError("The pages' certificate or key is not there.", where=str(path))
    return named


def store_url(site: Site) -> str:
    """The store's URL: SQLite below ``var/`` unless the settings name another."""
    assert site.settings is not None
    url = site.settings.store.url
    return f"sqlite:///{site.var / 'hub.db'}" if url == "embedded" else url


def certificate_files(site: Site) -> tuple[Path, ...]:
    """The files of the certificates that the site shows or trusts: its own, those in config/, those its files name."""
    found = {*(site.var / "tls").glob("*.pem"), *(site.home / "config").rglob("*.pem")}
    if site.settings is not None and site.settings.web.certificate:
        found.add(site.home / site.settings.web.certificate)
    for channel in site.channels.values():
        ends = [settings for _, settings in channel.sources]
        ends += [plan.settings for plan in channel.destinations.values()]
        for end in ends:
            if isinstance(end, BaseModel):
                named = (text for text in _texts(end.model_dump()) if text.endswith((".pem", ".crt", ".cer")))
                found |= {site.home / name for name in named}
    return tuple(sorted(found))


def _texts(value: object) -> Iterator[str]:
    """Every text within *value*, a tree of dictionaries and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)
