"""``hub new channel`` and ``hub new pack``: what a site gets ready made, with mapping, samples and expectations."""

from __future__ import annotations

import argparse
from pathlib import Path

from hub.cli.common import print_json, site_argument, site_folder


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    what = parser.add_subparsers(dest="what", required=True, metavar="channel|pack")
    channel = what.add_parser("channel", help="a channel that works: file, mapping, sample, expectation")
    channel.add_argument("name", help="lower case letters, digits and _")
    channel.add_argument(
        "--source", required=True, metavar="CONNECTOR", help="where messages come from: mllp, sftp, ..."
    )
    channel.add_argument("--to", required=True, metavar="CONNECTOR", help="where they go: billing, sftp, files, ...")
    pack = what.add_parser("pack", help="the channels, mappings, samples and page for an EHR")
    pack.add_argument("name", help="which one; docs/packs.md lists them")
    for parsed in (channel, pack):  # on either side of the word
        parsed.add_argument("--site", type=Path, default=argparse.SUPPRESS, metavar="DIR", help=argparse.SUPPRESS)
        parsed.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Write the files and say what to do next. Raises `NewChannelError` or `PackError`; nothing is written over."""
    return _pack(arguments) if arguments.what == "pack" else _channel(arguments)


def _channel(arguments: argparse.Namespace) -> int:
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


def _pack(arguments: argparse.Namespace) -> int:
    from hub.site.packs import add_pack

    name = arguments.name
    written = add_pack(site_folder(arguments), name)
    if arguments.json:
        print_json({"pack": name, "files": written})
        return 0
    for file in written:
        print(f"  wrote {file}")
    print(f"""
Next: docs/{name}.md says what to ask the vendor for and what stands where. Then:

  hub check                              what is wrong; secrets are yours to set
  hub test                               the pack's samples
  hub deploy -m "{name}"                 once the hub runs""")
    return 0
