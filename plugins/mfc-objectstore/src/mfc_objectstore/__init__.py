"""Objects of a cloud's store as files, through obstore: what the plugins for clouds share."""

from mfc_objectstore._failure import Failure
from mfc_objectstore._files import Bucket, Cloud, ObjectFiles
from mfc_objectstore._probe import answers, certificates

__version__ = "0.1.0"
__all__ = ["Bucket", "Cloud", "Failure", "ObjectFiles", "answers", "certificates"]
