"""A flow of real Metaflow that records an event as the starter of a run would; the test runs it."""

import json

from metaflow import FlowSpec, Parameter, current, step
from metaflow.metadata_provider import MetaDatum
from metaflow.metaflow_environment import MetaflowEnvironment
from metaflow.plugins.metadata_providers.local import LocalMetadataProvider


class Noted(FlowSpec):
    event = Parameter("event")

    @step
    def start(self):
        metadata = LocalMetadataProvider(MetaflowEnvironment(self), self, None, None)
        of_metaflow = [{"timestamp": 1, "id": "m", "name": "of.metaflow", "type": "event"}]
        noted = {"cloudevent": self.event, "execution-triggers": json.dumps(of_metaflow)}
        fields = [MetaDatum(field, text, field, ["attempt_id:0"]) for field, text in noted.items()]
        metadata.register_metadata(current.run_id, "start", current.task_id, fields)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Noted()
