"""The hub command, one file per subcommand."""
