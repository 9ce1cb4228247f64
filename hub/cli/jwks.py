"""``hub jwks``: the public keys by which the site proves who it is to FHIR servers; ``--new NAME`` makes a key."""

from __future__ import annotations

import argparse
import os

from hub.cli.common import UsageError, print_json, site_argument, site_folder


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("--new", metavar="NAME", help="make a key (elliptic curve P-384) as the secret of that name")


def run(arguments: argparse.Namespace) -> int:
    """Print the JSON Web Key Set. Raises `UsageError` rather than write over a secret."""
    from hub.core.secret import site_secrets
    from hub.site.client_keys import key_set
    from hub.site.load import load_site

    site = load_site(site_folder(arguments))
    if arguments.new:
        written = _new(site.var / "secrets", arguments.new)
        if arguments.json:
            print_json({"secret": arguments.new, "file": written})
            return 0
        print(f"""  wrote {written}

Name it in the channel's oauth, beside the key that signs now:

  keys = [{{ key = {{ secret = "{arguments.new}" }}, since = 2027-01-01 }}]

Once deployed, `hub jwks` and the pages' /.well-known/jwks.json publish it; from its day on it signs.""")
        return 0
    print(key_set(site.channels.values(), site_secrets(site.var)).decode())
    return 0


def _new(folder: os.PathLike[str], name: str) -> str:
    from pathlib import Path

    from hub.connectors.client_keys import new_key
    from hub.core.secret import SecretName

    try:
        path = Path(folder) / SecretName(name).name
    except ValueError as error:
        raise UsageError("That is no name for a secret.", found=name, expected=str(error)) from None
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError("There is a secret of that name already.", where=str(path), fix="Choose another.") from None
    with os.fdopen(handle, "wb") as file:
        file.write(new_key())
    return str(path)
