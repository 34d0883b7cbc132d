"""Plugins as text, and a query to see which of them answers."""

from __future__ import annotations

FILES = """
class Files:
    def __init__(self, name):
        self.name = name
    cat_file = size = open = None
@hookimpl
def mfc_filesystem(ds_type):
    return Files(__name__) if ds_type in {types} else None
"""
#: Queries datastore type `files`, and gives the name of the module that answered.
WHO = "show(said(lambda: Client().filesystem('files').name))"


def files(*types: str) -> str:
    return FILES.replace("{types}", repr(types))
