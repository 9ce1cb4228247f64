"""``hub new channel NAME --source mllp --to sftp``: a channel that works, with its mapping, sample and expectation."""

from __future__ import annotations

import argparse

from hub.cli.common import print_json, site_argument, site_folder


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("what", choices=["channel"])
    parser.add_argument("name", help="lower case letters, digits and _")
    parser.add_argument(
        "--source", required=True, metavar="CONNECTOR", help="where messages come from: mllp, sftp, ..."
    )
    parser.add_argument("--to", required=True, metavar="CONNECTOR", help="where they go: billing, sftp, files, ...")


def run(arguments: argparse.Namespace) -> int:
    """Write the files and say what to do next. Raises `NewChannelError` rather than write over anything."""
    from hub.site.load import load_site
    from hub.site.new_channel import channel_name, new_channel

    site = load_site(site_folder(arguments))
    name = channel_name(arguments.name)
    written = new_channel(site, name, arguments.source, arguments.to)
    if arguments.json:
        print_json({"channel": name, "files": written})
        return 0
    for file in written:
        print(f"  wrote {file}")
    sample = next(file for file in written if "/in." in file)
    script = next(file for file in written if file.startswith("transforms/"))
    print(f"""
Next: set the addresses in channels/{name}.toml, then write {script} beside its values:

  hub check channels/{name}.toml
  hub try {name} {sample} --watch
  hub test {name}
  hub deploy -m "{name}"                 once the hub runs""")
    return 0
