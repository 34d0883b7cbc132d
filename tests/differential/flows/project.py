"""A flow of a project, run in a branch."""

from metaflow import FlowSpec, current, project, step


@project(name="survey")
class ProjectFlow(FlowSpec):
    """@project on the local scheduler."""

    @step
    def start(self):
        """Note what Metaflow says about the project."""
        self.branch = current.branch_name
        self.next(self.end)

    @step
    def end(self):
        """Finish."""


if __name__ == "__main__":
    ProjectFlow()
