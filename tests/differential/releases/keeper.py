"""A flow that keeps objects of Metaflow's client and its exceptions as artifacts."""

import pickle

from metaflow import FlowSpec, Run, Step, Task, current, namespace, step
from metaflow.exception import MetaflowException, MetaflowNotFound


class KeeperFlow(FlowSpec):
    @step
    def start(self):
        self.number = 7
        self.next(self.end)

    @step
    def end(self):
        namespace(None)
        name = "%s/%s" % (current.flow_name, current.run_id)
        self.kept_run = Run(name)
        self.kept_step = Step(name + "/start")
        self.kept_task = Step(name + "/start").task
        try:
            pickle.dumps(self.kept_task.data)
            self.kept_data = self.kept_task.data
        except Exception:  # old releases cannot pickle it
            pass
        self.kept_artifact = self.kept_task["number"]
        self.kept_error = MetaflowException("kept")
        self.kept_absence = MetaflowNotFound("kept")


if __name__ == "__main__":
    KeeperFlow()
