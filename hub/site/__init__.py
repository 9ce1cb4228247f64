"""A site's files: read, checked, bundled and wired to the running parts."""
