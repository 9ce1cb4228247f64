"""The packages of the wheel: those beneath hub/, and the EHR packs, which stand beside it in the repository."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["hub", "hub.*"]), "hub.packs"],
    package_dir={"hub.packs": "packs"},
)
