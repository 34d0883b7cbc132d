"""One step that is start and end at once; it can be told to register triggering events."""

import json

from metaflow import FlowSpec, JSONType, Parameter, current, step
from metaflow.metadata_provider import MetaDatum
from metaflow.metaflow_environment import MetaflowEnvironment
from metaflow.metaflow_config import DEFAULT_METADATA
from metaflow.plugins import METADATA_PROVIDERS


class SingleFlow(FlowSpec):
    """The smallest flow there is."""

    events = Parameter("events", type=JSONType, default="null", help="events to register")
    label = Parameter("label", default="plain")

    @step(start=True, end=True)
    def only(self):
        """Register the events the way Metaflow's orchestrator decorators do."""
        if self.events is not None:
            kind = next(p for p in METADATA_PROVIDERS if p.TYPE == DEFAULT_METADATA)
            provider = kind(MetaflowEnvironment(self), self, None, None)
            datum = MetaDatum(
                field="execution-triggers",
                value=json.dumps(self.events),
                type="execution-triggers",
                tags=["attempt_id:0"],
            )
            provider.register_metadata(current.run_id, current.step_name, current.task_id, [datum])
        self.answer = 42


if __name__ == "__main__":
    SingleFlow()
