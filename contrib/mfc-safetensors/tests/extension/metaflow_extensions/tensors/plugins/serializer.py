"""Dictionaries of numpy arrays as safetensors, where Metaflow would pickle them."""

from metaflow.datastore.artifacts.serializer import (
    ArtifactSerializer,
    SerializationFormat,
    SerializationMetadata,
    SerializedBlob,
)

#: Kinds of numpy types that safetensors supports: bool, integers, floats.
KINDS = "biuf"


class TensorsSerializer(ArtifactSerializer):
    TYPE = "safetensors"

    @classmethod
    def setup_imports(cls):
        cls.lazy_import("numpy")
        cls.lazy_import("safetensors.numpy", alias="tensors")

    @classmethod
    def can_serialize(cls, obj):
        return (
            type(obj) is dict
            and bool(obj)
            and all(type(name) is str for name in obj)
            and all(type(array) is cls.numpy.ndarray for array in obj.values())
            and all(a.dtype.kind in KINDS and a.dtype.itemsize <= 8 for a in obj.values())
        )

    @classmethod
    def can_deserialize(cls, metadata):
        return metadata.encoding == cls.TYPE

    @classmethod
    def serialize(cls, obj, format=SerializationFormat.STORAGE):
        if format == SerializationFormat.WIRE:
            raise NotImplementedError("safetensors are bytes, not text")
        blob = cls.tensors.save({name: array.copy(order="C") for name, array in obj.items()})
        note = {"names": list(obj)}  # the format sorts them
        metadata = SerializationMetadata(str(type(obj)), len(blob), cls.TYPE, note)
        return [SerializedBlob(blob)], metadata

    @classmethod
    def deserialize(cls, data, metadata=None, format=SerializationFormat.STORAGE):
        arrays = cls.tensors.load(data[0])
        # A task's own store passes the note on; Metaflow's client (2.19) does not.
        names = metadata.serializer_info.get("names") or arrays
        return {name: arrays[name] for name in names}
