"""What Metaflow reads of an extension: its serializers, by name and class."""

ARTIFACT_SERIALIZERS_DESC = [("safetensors", ".serializer.TensorsSerializer")]
