"""obstore, made usable in a forked child."""

from __future__ import annotations

import os
from types import ModuleType

#: The library by process. A child inherits its parent's, whose threads the fork left behind.
_loaded: dict[int, ModuleType] = {}


def library() -> ModuleType:
    """Return obstore's functions; its classes of stores are in `_store`.

    obstore keeps one set of threads for all stores, which a fork leaves behind: a call in the child
    hangs, and disturbs the parent's calls. So a child loads the library anew, from a copy of its
    file, because the system returns the same library for the same file. That takes 15 MB and 30 ms,
    only in children of processes that read objects before.

    Source:
        obstore 0.12, which says that it is not safe to fork (pull request 441).
    """
    found = _loaded.get(os.getpid())
    if found is None:
        from obstore import _obstore  # 10 ms, and only readers of objects need it

        found = _loaded.setdefault(os.getpid(), _copy(_obstore) if _loaded else _obstore)
    return found


def _copy(original: ModuleType) -> ModuleType:
    """Load a module of compiled code a second time."""
    import shutil  # only forked children need these
    import tempfile
    from importlib.machinery import ExtensionFileLoader
    from importlib.util import module_from_spec, spec_from_file_location

    file = str(original.__file__)
    name = original.__name__.rpartition(".")[2]
    with tempfile.TemporaryDirectory(prefix="mfc-") as folder:
        path = shutil.copy(file, os.path.join(folder, os.path.basename(file)))
        spec = spec_from_file_location(name, path, loader=ExtensionFileLoader(name, path))
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} cannot be loaded a second time", name=name, path=path)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    return module
