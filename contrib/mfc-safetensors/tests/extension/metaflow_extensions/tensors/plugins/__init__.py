"""The part of an extension that Metaflow reads: its serializers, by name and class."""

ARTIFACT_SERIALIZERS_DESC = [("safetensors", ".serializer.TensorsSerializer")]
