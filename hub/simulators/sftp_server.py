"""A real SFTP server on conch: public-key login, one user, one folder that it never leaves.

Rules kept: draft-ietf-secsh-filexfer-02 (SFTP version 3), and the OpenSSH extension
``posix-rename@openssh.com`` (OpenSSH PROTOCOL, section 4.3), by which a client puts a whole file in one step.
"""

# Conch is largely untyped, and mypy does not know zope's interfaces.
# mypy: disable-error-code="arg-type, attr-defined, import-untyped, list-item, no-untyped-call"
from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.avatar import ConchUser
from twisted.conch.checkers import InMemorySSHKeyDB, SSHPublicKeyChecker
from twisted.conch.interfaces import IConchUser, ISFTPFile, ISFTPServer
from twisted.conch.ls import lsLine
from twisted.conch.ssh import filetransfer
from twisted.conch.ssh.common import getNS
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.session import SSHSession
from twisted.conch.ssh.transport import SSHServerTransport
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ISSHPrivateKey
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet import defer
from twisted.python import components
from zope.interface import implementer

from hub.simulators.process import reactor

POSIX_RENAME = b"posix-rename@openssh.com"
SIGNATURES = b"ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,rsa-sha2-512,rsa-sha2-256"
WRITE_FLAGS = filetransfer.FXF_WRITE | filetransfer.FXF_APPEND


def _attributes(path_stat: os.stat_result) -> dict[str, int]:
    return {
        "size": path_stat.st_size,
        "uid": path_stat.st_uid,
        "gid": path_stat.st_gid,
        "permissions": path_stat.st_mode,
        "atime": int(path_stat.st_atime),
        "mtime": int(path_stat.st_mtime),
    }


class Folder:
    """The folder behind a server: its root, and the files that a client is still writing."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.being_written: dict[Path, int] = {}
        for name in ("inbound", "outbound"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def path(self, name: bytes) -> Path:
        """Return the real path of a client's path; ``..`` stops at the root."""
        clean = os.path.normpath("/" + os.fsdecode(name)).lstrip("/")
        return self.root / clean

    def shown(self, name: bytes) -> bytes:
        """Return the absolute path that the client sees."""
        return b"/" + os.fsencode(str(self.path(name).relative_to(self.root))).removeprefix(b".")


@implementer(ISFTPFile)
class _OpenFile:
    """One open file of a client."""

    def __init__(self, folder: Folder, path: Path, flags: int) -> None:
        self._folder, self._path = folder, path
        self._writes = bool(flags & WRITE_FLAGS)
        mode = os.O_RDONLY if not self._writes else os.O_RDWR if flags & filetransfer.FXF_READ else os.O_WRONLY
        for wanted, given in (
            (filetransfer.FXF_APPEND, os.O_APPEND),
            (filetransfer.FXF_CREAT, os.O_CREAT),
            (filetransfer.FXF_TRUNC, os.O_TRUNC),
            (filetransfer.FXF_EXCL, os.O_EXCL),
        ):
            mode |= given if flags & wanted else 0
        self._descriptor = os.open(path, mode, 0o644)
        if self._writes:
            folder.being_written[path] = folder.being_written.get(path, 0) + 1

    def close(self) -> None:
        os.close(self._descriptor)
        if self._writes:
            self._folder.being_written[self._path] -= 1
            if not self._folder.being_written[self._path]:
                del self._folder.being_written[self._path]

    def readChunk(self, offset: int, length: int) -> bytes:  # noqa: N802 (conch's name)
        return os.pread(self._descriptor, length, offset)

    def writeChunk(self, offset: int, data: bytes) -> None:  # noqa: N802
        os.pwrite(self._descriptor, data, offset)

    def getAttrs(self) -> dict[str, int]:  # noqa: N802
        return _attributes(os.fstat(self._descriptor))

    def setAttrs(self, attrs: dict[str, Any]) -> None:  # noqa: N802
        """Accept and ignore: owners and times of the files mean nothing here."""


class _Listing:
    """One open directory of a client."""

    def __init__(self, path: Path) -> None:
        self._paths = sorted(path.iterdir())

    def __iter__(self) -> Iterator[tuple[bytes, bytes, dict[str, int]]]:
        for path in self._paths:
            try:
                found = path.lstat()
            except FileNotFoundError:
                continue
            yield os.fsencode(path.name), os.fsencode(lsLine(path.name, found)), _attributes(found)

    def close(self) -> None:
        self._paths = []


@implementer(ISFTPServer)
class _Files:
    """The SFTP operations of a logged-in client."""

    def __init__(self, avatar: _Avatar) -> None:
        self._folder = avatar.folder

    def gotVersion(self, otherVersion: int, extData: dict[bytes, bytes]) -> dict[bytes, bytes]:  # noqa: N802, N803
        return {POSIX_RENAME: b"1"}

    def openFile(self, filename: bytes, flags: int, attrs: dict[str, Any]) -> _OpenFile:  # noqa: N802
        return _OpenFile(self._folder, self._folder.path(filename), flags)

    def removeFile(self, filename: bytes) -> None:  # noqa: N802
        self._folder.path(filename).unlink()

    def renameFile(self, oldpath: bytes, newpath: bytes) -> None:  # noqa: N802
        """Rename; as version 3 of the protocol has it, an existing target is an error."""
        source, target = self._folder.path(oldpath), self._folder.path(newpath)
        if target.exists():
            raise filetransfer.SFTPError(filetransfer.FX_FAILURE, "the target exists")
        source.rename(target)

    def replaceFile(self, oldpath: bytes, newpath: bytes) -> None:  # noqa: N802
        """Rename over whatever is there, in one step."""
        self._folder.path(oldpath).replace(self._folder.path(newpath))

    def makeDirectory(self, path: bytes, attrs: dict[str, Any]) -> None:  # noqa: N802
        self._folder.path(path).mkdir()

    def removeDirectory(self, path: bytes) -> None:  # noqa: N802
        self._folder.path(path).rmdir()

    def openDirectory(self, path: bytes) -> _Listing:  # noqa: N802
        return _Listing(self._folder.path(path))

    def getAttrs(self, path: bytes, followLinks: bool) -> dict[str, int]:  # noqa: N802, N803
        return _attributes(self._folder.path(path).lstat())

    def setAttrs(self, path: bytes, attrs: dict[str, Any]) -> None:  # noqa: N802
        if not stat.S_ISREG(self._folder.path(path).lstat().st_mode):
            raise filetransfer.SFTPError(filetransfer.FX_PERMISSION_DENIED, "not a file")

    def readLink(self, path: bytes) -> bytes:  # noqa: N802
        raise NotImplementedError

    def makeLink(self, linkPath: bytes, targetPath: bytes) -> None:  # noqa: N802, N803
        raise NotImplementedError

    def realPath(self, path: bytes) -> bytes:  # noqa: N802
        return self._folder.shown(path)

    def extendedRequest(self, extendedName: bytes, extendedData: bytes) -> bytes:  # noqa: N802, N803
        raise NotImplementedError


class _FileTransfer(filetransfer.FileTransferServer):
    """Conch's server, with the extension whose answer is a status and not an extended reply."""

    def packet_EXTENDED(self, data: bytes) -> None:  # noqa: N802
        name, rest = getNS(data[4:])
        if name != POSIX_RENAME:
            super().packet_EXTENDED(data)
            return
        request = data[:4]
        old, new, _ = getNS(rest, 2)
        done = defer.maybeDeferred(self.client.replaceFile, old, new)
        done.addCallback(self._cbStatus, request, b"rename succeeded")
        done.addErrback(self._ebStatus, request, b"rename failed")


class _Session(SSHSession):
    """A session in which a client may ask for the SFTP subsystem and for nothing else."""

    def request_env(self, data: bytes) -> int:
        return 0

    request_shell = request_exec = request_pty_req = request_env


class _Avatar(ConchUser):
    """A logged-in user: a session channel that offers SFTP and nothing else."""

    def __init__(self, folder: Folder) -> None:
        super().__init__()
        self.folder = folder
        self.channelLookup[b"session"] = _Session
        self.subsystemLookup[b"sftp"] = _FileTransfer


components.registerAdapter(_Files, _Avatar, ISFTPServer)


@implementer(IRealm)
class _Realm:
    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def requestAvatar(self, avatarId: bytes, mind: object, *interfaces: object) -> tuple[Any, Any, Any]:  # noqa: N802, N803
        return IConchUser, _Avatar(self._folder), lambda: None


@implementer(ICredentialsChecker)
class _Door:
    """Checks the client's key, unless logins are refused for the moment."""

    credentialInterfaces = (ISSHPrivateKey,)  # noqa: N815 (the interface's name)

    def __init__(self, user: str, authorized_key: str, refuses: Callable[[], bool]) -> None:
        keys = {user.encode(): [Key.fromString(authorized_key.strip().encode())]}
        self._checker = SSHPublicKeyChecker(InMemorySSHKeyDB(keys))
        self._refuses = refuses

    def requestAvatarId(self, credentials: Any) -> Any:  # noqa: N802
        if self._refuses():
            return defer.fail(UnauthorizedLogin("logins are refused for the moment"))
        return self._checker.requestAvatarId(credentials)


class _Transport(SSHServerTransport):
    """Announces every signature that a client's key may make; conch would announce the host key's only."""

    def sendExtInfo(self, extensions: list[tuple[bytes, bytes]]) -> None:  # noqa: N802
        super().sendExtInfo([(b"server-sig-algs", SIGNATURES)])


class SftpServer:
    """An SFTP server on 127.0.0.1 with a host key of its own, made at start."""

    def __init__(self, folder: Folder, user: str, authorized_key: str, refuses: Callable[[], bool]) -> None:
        self._key = Key(Ed25519PrivateKey.generate())
        factory = SSHFactory()
        factory.protocol = _Transport
        factory.portal = Portal(_Realm(folder), [_Door(user, authorized_key, refuses)])
        factory.publicKeys = {b"ssh-ed25519": self._key.public()}
        factory.privateKeys = {b"ssh-ed25519": self._key}
        self._factory = factory
        self._port: Any = None

    def listen(self, port: int = 0) -> int:
        """Listen on 127.0.0.1; 0 lets the kernel choose. Returns the port."""
        self._port = reactor.listenTCP(port, self._factory, interface="127.0.0.1")
        return int(self._port.getHost().port)

    def known_hosts_line(self) -> str:
        """Return the line that pins this server's key in a known_hosts file."""
        host = self._port.getHost()
        key = self._key.public().toString("OPENSSH").decode()
        return f"[{host.host}]:{host.port} {key}"
