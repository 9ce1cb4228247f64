"""Files in a folder of this machine or of a mounted share."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from hub.connectors.pickup import Gathering, Look, Pickup, PickupSettings
from hub.connectors.putting import Putting
from hub.connectors.reach import UnreachedError
from hub.connectors.settings import Settings
from hub.core.secret import Secrets
from hub.engine.contracts import (
    Connector,
    Destination,
    DestinationContext,
    EndpointState,
    Failure,
    Reply,
    Source,
    SourceContext,
    TaskCall,
)


class FilesSourceSettings(PickupSettings):
    """A folder whose files are picked up."""

    folder: str = Field(
        min_length=1,
        description="The folder. A relative path begins at the site's folder.",
        examples=["/srv/exchange/in"],
    )


class FilesDestinationSettings(Settings):
    """A folder that files are put into."""

    folder: str = Field(
        min_length=1,
        description="The folder; it must exist. A relative path begins at the site's folder.",
        examples=["/srv/exchange/out"],
    )


def open_source(settings: FilesSourceSettings, context: SourceContext) -> Source:
    """A source that polls the folder."""
    return Pickup("files", settings.folder, settings, context)


def open_destination(settings: FilesDestinationSettings, context: DestinationContext) -> Destination:
    """A destination that puts each output into the folder as one file."""
    return Putting("files", settings.folder, settings, context)


def probe(settings: FilesSourceSettings | FilesDestinationSettings, folder: Path, _secrets: Secrets) -> Iterator[str]:
    """Look into the folder. Raises `HubError` when it cannot be read or written."""
    path = folder / settings.folder
    try:
        names = sorted(each.name for each in path.iterdir())
    except OSError as error:
        raise UnreachedError(f"The folder cannot be read: {error.strerror}.", where=str(path)) from None
    yield f"{path} has {len(names)} files{': ' if names else ''}{', '.join(names[:10])}"
    if not os.access(path, os.W_OK):
        raise UnreachedError("The hub may not write into the folder.", where=str(path))
    yield "the hub may write there"


def collect(call: TaskCall) -> Reply:
    """Task ``files.collect``: see :class:`hub.connectors.pickup.Pickup`."""
    settings = FilesSourceSettings.model_validate(call.header["settings"])
    folder = call.site.folder / settings.folder
    gathering = Gathering(settings, call.header)
    try:
        entries = sorted(
            (entry for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)),
            key=lambda entry: entry.name,
        )
    except OSError as error:
        return _unreached(error)
    for entry in entries:
        path = Path(entry.path)
        try:
            if gathering.see(entry.name, _look(path)):
                gathering.take(entry.name, path.read_bytes(), _look(path))
        except FileNotFoundError:
            gathering.gone(entry.name)
        except OSError as error:
            return _unreached(error)
    return gathering.reply()


def after(call: TaskCall) -> Reply:
    """Task ``files.after``: delete or archive the files whose content is stored."""
    settings = FilesSourceSettings.model_validate(call.header["settings"])
    folder = call.site.folder / settings.folder
    done: list[str] = []
    refused = 0
    for name in call.header["names"]:
        path = folder / name
        try:
            if settings.after == "archive":
                (folder / settings.archive).mkdir(parents=True, exist_ok=True)
                _archive(path, folder / settings.archive)
            else:
                path.unlink(missing_ok=True)
            done.append(name)
        except OSError:
            refused += 1
    return Reply({"done": done, "refused": refused})


def put(call: TaskCall) -> Reply:
    """Task ``files.put``: one whole file under its name, or none.

    The content is on the disk before the name is. A file of that name with the same content is the work of an
    earlier attempt; with other content it is somebody's, and is left alone.
    """
    settings = FilesDestinationSettings.model_validate(call.header["settings"])
    (content,) = call.parts
    final = call.site.folder / settings.folder / call.header["name"]
    temporary = final.with_name(f".{final.name}.{call.header['delivery_id']}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, refuses to replace a file.
        os.link(temporary, final)
    except FileExistsError:
        if _digest(final) != hashlib.sha256(content).digest():
            return _refusal(Failure.PERMANENT, "Another file of that name is there, with other content.")
    except PermissionError:
        return _refusal(Failure.PERMANENT, "The hub may not write into the folder.", EndpointState.REFUSED)
    except FileNotFoundError:
        return _refusal(Failure.TRANSIENT, "The folder is not there.", EndpointState.RETRYING)
    except OSError as error:
        reason = f"The file could not be written: {error.strerror}."
        return _refusal(Failure.TRANSIENT, reason, EndpointState.RETRYING)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    _sync_folder(final.parent)
    found = final.stat()
    answer = {"name": final.name, "size": found.st_size, "modified": int(found.st_mtime)}
    return Reply({"failure": None}, (json.dumps(answer).encode(),))


def _look(path: Path) -> Look:
    found = path.stat()
    return Look(found.st_size, found.st_mtime_ns)


def _archive(path: Path, archive: Path) -> None:
    if not path.exists():
        return
    target = archive / path.name
    if target.exists():
        target = archive / f"{path.name}.{path.stat().st_mtime_ns}"
    path.replace(target)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unreached(error: OSError) -> Reply:
    reason = f"The folder cannot be read: {error.strerror}."
    return Reply({"failure": reason, "state": EndpointState.RETRYING.value})


def _refusal(failure: Failure, reason: str, state: EndpointState = EndpointState.CONNECTED) -> Reply:
    return Reply({"failure": failure.value, "reason": reason, "state": state.value})


CONNECTOR = Connector(
    name="files",
    summary="Files picked up from a folder, or put into one.",
    source_settings=FilesSourceSettings,
    open_source=open_source,
    destination_settings=FilesDestinationSettings,
    open_destination=open_destination,
    probe=probe,
    tasks={"files.collect": collect, "files.after": after, "files.put": put},
)
