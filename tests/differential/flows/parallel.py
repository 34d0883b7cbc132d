"""A step of two nodes, which Metaflow runs as a control task and its mapper."""

from metaflow import FlowSpec, current, parallel, step


class ParallelFlow(FlowSpec):
    """@parallel on the local scheduler."""

    @step
    def start(self):
        """Split into two nodes."""
        self.next(self.train, num_parallel=2)

    @parallel
    @step
    def train(self):
        """Run on every node."""
        self.node = current.parallel.node_index
        print(f"node {self.node}")  # the log of a node
        self.next(self.join)

    @step
    def join(self, inputs):
        """Collect the nodes."""
        self.nodes = [i.node for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        """Finish."""


if __name__ == "__main__":
    ParallelFlow()
