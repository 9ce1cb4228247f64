"""Files on an SFTP server: collected from a folder, or put into one.

paramiko blocks, so all of it runs as tasks in the transfer workers, which keep a connection open from one
task to the next. Source: draft-ietf-secsh-filexfer-02 (SFTP version 3) and OpenSSH's PROTOCOL, section 4.3
(posix-rename).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import paramiko
from pydantic import Field, model_validator

from hub.connectors.pickup import Gathering, Look, Pickup, PickupSettings
from hub.connectors.putting import Putting
from hub.connectors.reach import UnreachedError, reach
from hub.connectors.settings import Secret, Settings, SftpFolder
from hub.core.errors import HubError
from hub.core.secret import Secrets
from hub.core.units import Duration
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

REUSE_WITHIN = 60.0
"""Seconds that an unused connection is trusted to be alive."""


class SftpLogin(Settings):
    """How to reach and trust an SFTP server, and who we are there."""

    begin_with: ClassVar[tuple[str, ...]] = ("private_key", "known_hosts")

    endpoint: SftpFolder = Field(
        description="The server and the folder on it.", examples=["sftp://files.clearway.example/outbound"]
    )
    username: str = Field(min_length=1, description="The user to log in as.", examples=["alder"])
    private_key: Secret | None = Field(
        None,
        description="The private key to log in with, in PEM or OpenSSH form.",
        examples=[{"secret": "clearway_key"}],
    )
    password: Secret | None = Field(
        None,
        description="The password to log in with, where the server takes no keys.",
        examples=[{"secret": "clearway_password"}],
    )
    host_key: str | None = Field(
        None,
        pattern=r"^[a-z0-9@.-]+ [A-Za-z0-9+/]+=*( .*)?$",
        description="The server's public key. Nothing is sent to a server that has another one.",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI..."],
    )
    known_hosts: str | None = Field(
        None,
        description="Instead of host_key: a file in the form of OpenSSH's known_hosts. A relative path begins at "
        "the site's folder.",
        examples=["config/known_hosts"],
    )
    connect_within: Duration = Field(
        15.0, description="How long to wait for the connection and the login.", examples=["15s"]
    )
    answer_within: Duration = Field(
        60.0, description="How long the server may stay silent during a transfer.", examples=["60s"]
    )

    @model_validator(mode="after")
    def _trust_and_login(self) -> Self:
        if (self.host_key is None) == (self.known_hosts is None):
            raise ValueError("say which server to trust: either host_key or known_hosts")
        if (self.private_key is None) == (self.password is None):
            raise ValueError("say how to log in: either private_key or password")
        return self


class SftpSourceSettings(PickupSettings, SftpLogin):
    """A folder on an SFTP server whose files are collected."""


class SftpDestinationSettings(SftpLogin):
    """A folder on an SFTP server that files are put into."""


def open_source(settings: SftpSourceSettings, context: SourceContext) -> Source:
    """A source that polls the folder."""
    return Pickup("sftp", str(settings.endpoint), settings, context)


def open_destination(settings: SftpDestinationSettings, context: DestinationContext) -> Destination:
    """A destination that uploads each output under a temporary name and then gives it its own."""
    return Putting("sftp", str(settings.endpoint), settings, context, steps=("upload", "publish"))


def probe(settings: SftpLogin, folder: Path, secrets: Secrets) -> Iterator[str]:
    """Log in and look into the folder. Raises `HubError` with what keeps one from it."""
    endpoint = settings.endpoint
    yield from reach(endpoint.host, endpoint.port, None)
    session = _log_in(settings, _secret_of(settings, secrets), folder)
    try:
        yield f"logged in as {settings.username}; the server's key is the one that is trusted"
        names = session.sftp.listdir(endpoint.path)
        yield f"{endpoint.path} has {len(names)} files{': ' if names else ''}{', '.join(sorted(names)[:10])}"
    except OSError as error:
        raise UnreachedError(f"The folder cannot be listed: {error.strerror}.", where=endpoint.path) from None
    finally:
        session.transport.close()


# ---------------------------------------------------------------- connections, in a worker


class LoginError(HubError):
    """The server was reached and there is no session: *state* says on whose side that lies."""

    code = "H420"

    def __init__(self, what: str, state: EndpointState, *, fix: str = "") -> None:
        super().__init__(what, fix=fix)
        self.state = state


@dataclass(slots=True)
class _Session:
    """A logged-in connection."""

    transport: paramiko.Transport
    sftp: paramiko.SFTPClient
    used: float

    @property
    def alive(self) -> bool:
        return self.transport.is_active() and time.monotonic() - self.used < REUSE_WITHIN


_resting: dict[str, list[_Session]] = {}
"""Unused sessions of this worker, by everything that made them."""


@contextmanager
def _session(login: SftpLogin, call: TaskCall) -> Iterator[_Session]:
    """A session for one task: one that rests, if it lives, else a new one. One that failed is not used again."""
    secret = _secret_of(login, call.site.secrets)
    key = hashlib.sha256(f"{login.model_dump_json()}\0{secret}".encode()).hexdigest()
    sessions = _resting.setdefault(key, [])
    session: _Session | None = None
    while sessions and session is None:
        candidate = sessions.pop()
        if candidate.alive:
            session = candidate
        else:
            candidate.transport.close()
    session = session or _log_in(login, secret, call.site.folder)
    try:
        yield session
    except BaseException:
        session.transport.close()
        raise
    session.used = time.monotonic()
    sessions.append(session)


def close_sessions() -> None:
    """Close every session that rests in this process."""
    for sessions in _resting.values():
        for session in sessions:
            session.transport.close()
    _resting.clear()


def _secret_of(login: SftpLogin, secrets: Secrets) -> str:
    name = login.private_key or login.password
    assert name is not None  # the settings' own check
    return secrets.value(name)


def _log_in(login: SftpLogin, secret: str, folder: Path) -> _Session:
    expected = _expected_key(login, folder)
    key = _private_key(secret) if login.private_key else None
    endpoint = login.endpoint
    connection = socket.create_connection((endpoint.host, endpoint.port), login.connect_within)
    transport = paramiko.Transport(connection)
    try:
        transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = login.connect_within
        options = transport.get_security_options()
        wanted = _signatures(expected.get_name())
        options.key_types = tuple(name for name in options.key_types if name in wanted)
        transport.start_client(timeout=login.connect_within)
        if transport.get_remote_server_key() != expected:
            raise _not_trusted()
        if key is not None:
            transport.auth_publickey(login.username, key)
        else:
            transport.auth_password(login.username, secret)
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None
        channel = sftp.get_channel()
        assert channel is not None
        channel.settimeout(login.answer_within)
    except BaseException as error:
        transport.close()
        # A server without a key of the expected type cannot agree on one.
        if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
            raise _not_trusted() from None
        if isinstance(error, paramiko.AuthenticationException):
            raise LoginError(
                "The server does not let this user in.",
                EndpointState.LOGIN_FAILED,
                fix="Check the username and the secret, and that the server knows the public key.",
            ) from None
        raise
    return _Session(transport, sftp, time.monotonic())


def _not_trusted() -> LoginError:
    return LoginError(
        "The server has another host key than the expected one; nothing was sent to it.",
        EndpointState.REFUSED,
        fix="Ask the partner whether the key was changed, and only then write the new one into the settings.",
    )


def _signatures(key_type: str) -> frozenset[str]:
    """The signature algorithms by which a server proves that it has a key of *key_type* (RFC 8332 for RSA)."""
    return frozenset({"rsa-sha2-512", "rsa-sha2-256"} if key_type == "ssh-rsa" else {key_type})


def _expected_key(login: SftpLogin, folder: Path) -> paramiko.PKey:
    try:
        if login.host_key is not None:
            kind, encoded, *_ = login.host_key.split()
            entry = paramiko.hostkeys.HostKeyEntry.from_line(f"host {kind} {encoded}")
            if entry is not None and entry.key is not None:
                return entry.key
        else:
            hosts = paramiko.HostKeys(str(folder / str(login.known_hosts)))
            host, port = login.endpoint.host, login.endpoint.port
            found = hosts.lookup(host if port == 22 else f"[{host}]:{port}")
            if found:
                return next(iter(found.values()))
    except (OSError, ValueError, paramiko.SSHException):
        pass  # told below
    raise LoginError(
        "The key that this server should have is not known.",
        EndpointState.REFUSED,
        fix="Write the server's public key into host_key, or a line for it into the known_hosts file.",
    )


def _private_key(text: str) -> paramiko.PKey:
    kinds: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
    for kind in kinds:
        with contextlib.suppress(paramiko.SSHException, ValueError, IndexError):
            return kind.from_private_key(io.StringIO(text + "\n"))
    raise LoginError(
        "The private key cannot be read.",
        EndpointState.LOGIN_FAILED,
        fix="Keep it in PEM or OpenSSH form, Ed25519, ECDSA or RSA, without a passphrase.",
    )


# ---------------------------------------------------------------- failures, in words


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What went wrong: *refused* when the server itself said no, to this and not by a lost connection."""

    state: EndpointState
    reason: str
    refused: bool = False


def _trouble(error: Exception) -> _Trouble:
    match error:
        case LoginError():
            return _Trouble(error.state, f"{error.what} {error.fix}")
        case HubError():
            return _Trouble(EndpointState.LOGIN_FAILED, error.what)
        case ConnectionRefusedError():
            return _Trouble(EndpointState.REFUSED, "The server refused the connection.")
        case TimeoutError():
            return _Trouble(EndpointState.RETRYING, "The server did not answer in time.")
        case socket.gaierror():
            return _Trouble(EndpointState.RETRYING, "The server's name is not known.")
        case PermissionError():
            return _Trouble(EndpointState.CONNECTED, "The server does not allow this.", refused=True)
        case FileNotFoundError():
            return _Trouble(EndpointState.CONNECTED, "The folder or file is not on the server.", refused=True)
        case _:
            return _Trouble(EndpointState.RETRYING, f"The connection failed ({type(error).__name__}).")


_TROUBLES = (OSError, EOFError, paramiko.SSHException, HubError)


def _put_failure(failure: Failure, trouble: _Trouble) -> Reply:
    return Reply({"failure": failure.value, "reason": trouble.reason, "state": trouble.state.value})


# ---------------------------------------------------------------- tasks


def collect(call: TaskCall) -> Reply:
    """Task ``sftp.collect``: see :class:`hub.connectors.pickup.Pickup`."""
    settings = SftpSourceSettings.model_validate(call.header["settings"])
    try:
        with _session(settings, call) as session:
            return _collect(session.sftp, settings, Gathering(settings, call.header))
    except _TROUBLES as error:
        trouble = _trouble(error)
        return Reply({"failure": trouble.reason, "state": trouble.state.value})


def _collect(sftp: paramiko.SFTPClient, settings: SftpSourceSettings, gathering: Gathering) -> Reply:
    folder = settings.endpoint.path
    for entry in sorted(sftp.listdir_attr(folder), key=lambda entry: (entry.st_mtime or 0, entry.filename)):
        if entry.st_mode is not None and not stat.S_ISREG(entry.st_mode):
            continue
        path = _join(folder, entry.filename)
        try:
            if gathering.see(entry.filename, _look(entry)):
                buffer = io.BytesIO()
                sftp.getfo(path, buffer)
                gathering.take(entry.filename, buffer.getvalue(), _look(sftp.stat(path)))
        except FileNotFoundError:
            gathering.gone(entry.filename)
    return gathering.reply()


def after(call: TaskCall) -> Reply:
    """Task ``sftp.after``: delete or archive the files whose content is stored."""
    settings = SftpSourceSettings.model_validate(call.header["settings"])
    folder = settings.endpoint.path
    done: list[str] = []
    refused = 0
    try:
        with _session(settings, call) as session:
            for name in call.header["names"]:
                try:
                    if settings.after == "archive":
                        _archive(session.sftp, folder, settings.archive, name)
                    else:
                        session.sftp.remove(_join(folder, name))
                except FileNotFoundError:
                    pass  # somebody else took it away: what matters is that it is gone
                except OSError as error:
                    if not session.transport.is_active() or isinstance(error, TimeoutError):
                        raise
                    refused += 1
                    continue
                done.append(name)
    except _TROUBLES as error:
        if not done:
            trouble = _trouble(error)
            return Reply({"failure": trouble.reason, "state": trouble.state.value})
    return Reply({"done": done, "refused": refused})


def upload(call: TaskCall) -> Reply:
    """Task ``sftp.upload``: the whole content under a temporary name, its size verified. Nothing is visible yet."""
    settings = SftpDestinationSettings.model_validate(call.header["settings"])
    (content,) = call.parts
    try:
        with _session(settings, call) as session:
            # confirm: the size is asked for after the last write, and a wrong one raises OSError.
            session.sftp.putfo(io.BytesIO(content), _temporary(settings, call), len(content), confirm=True)
    except _TROUBLES as error:
        trouble = _trouble(error)
        return _put_failure(Failure.PERMANENT if trouble.refused else Failure.TRANSIENT, trouble)
    return Reply({"failure": None})


def publish(call: TaskCall) -> Reply:
    """Task ``sftp.publish``: give the uploaded content its name.

    A file of that name with the same content is the work of an earlier attempt, so this one is delivered; one
    with other content is somebody's and is never replaced, so this one is refused for good. Once the rename
    has been requested, a loss of the connection leaves it unknown.
    """
    settings = SftpDestinationSettings.model_validate(call.header["settings"])
    (content,) = call.parts
    name = str(call.header["name"])
    final, temporary = _join(settings.endpoint.path, name), _temporary(settings, call)
    requested = False
    try:
        with _session(settings, call) as session:
            sftp = session.sftp
            same = _holds(sftp, final, content)
            if same is False:
                sftp.remove(temporary)
                reason = "Another file of that name is there, with other content; it was left alone."
                return _put_failure(Failure.PERMANENT, _Trouble(EndpointState.CONNECTED, reason))
            if same is None:
                requested = True
                _rename(sftp, temporary, final)
            else:
                sftp.remove(temporary)
            return Reply({"failure": None}, (_as_it_lies(sftp, final, name, len(content)),))
    except _TROUBLES as error:
        trouble = _trouble(error)
        if isinstance(error, FileNotFoundError):  # the uploaded content is gone: upload it again
            return _put_failure(Failure.TRANSIENT, trouble)
        if trouble.refused:
            return _put_failure(Failure.PERMANENT, trouble)
        return _put_failure(Failure.AMBIGUOUS if requested else Failure.TRANSIENT, trouble)


def _rename(sftp: paramiko.SFTPClient, old: str, new: str) -> None:
    """One step in which the file appears whole. Servers without OpenSSH's extension have the plain rename."""
    try:
        sftp.posix_rename(old, new)
    except OSError as error:
        if error.errno is not None or "nsupported" not in str(error):
            raise
        sftp.rename(old, new)


def _holds(sftp: paramiko.SFTPClient, path: str, content: bytes) -> bool | None:
    """Whether the file at *path* holds exactly *content*; None when there is no file."""
    try:
        if sftp.stat(path).st_size != len(content):
            return False
        buffer = io.BytesIO()
        sftp.getfo(path, buffer)
    except FileNotFoundError:
        return None
    return buffer.getvalue() == content


def _as_it_lies(sftp: paramiko.SFTPClient, path: str, name: str, size: int) -> bytes:
    """What the server says of the file now, as JSON. Partners sweep: that it is gone already is no failure."""
    answer: dict[str, str | int | None] = {"name": name, "size": size}
    with contextlib.suppress(*_TROUBLES):
        found = sftp.stat(path)
        answer |= {"size": found.st_size, "modified": found.st_mtime}
    return json.dumps(answer).encode()


def _archive(sftp: paramiko.SFTPClient, folder: str, archive: str, name: str) -> None:
    """Move *name* into the archive, under a name with the time when it has a namesake there."""
    place = folder
    for part in archive.split("/"):
        place = _join(place, part)
        with contextlib.suppress(OSError):  # it is there already, or the rename below says why not
            sftp.mkdir(place)
    path = _join(folder, name)
    target = _join(place, name)
    modified = sftp.stat(path).st_mtime
    with contextlib.suppress(FileNotFoundError):
        sftp.stat(target)
        target = f"{target}.{modified}"
    sftp.rename(path, target)


def _temporary(settings: SftpDestinationSettings, call: TaskCall) -> str:
    return _join(settings.endpoint.path, f"{call.header['name']}.tmp")


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def _look(attributes: paramiko.SFTPAttributes) -> Look:
    return Look(attributes.st_size or 0, attributes.st_mtime or 0)


_TASKS: dict[str, Callable[[TaskCall], Reply]] = {
    "sftp.collect": collect,
    "sftp.after": after,
    "sftp.upload": upload,
    "sftp.publish": publish,
}

CONNECTOR = Connector(
    name="sftp",
    summary="Files collected from an SFTP server, or put there, host keys checked.",
    source_settings=SftpSourceSettings,
    open_source=open_source,
    destination_settings=SftpDestinationSettings,
    open_destination=open_destination,
    tasks=_TASKS,
    probe=probe,
)
