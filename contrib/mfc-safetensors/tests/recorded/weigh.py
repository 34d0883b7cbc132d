"""A flow whose weights become safetensors, and whose other values stay pickles."""

import numpy as np
from metaflow import FlowSpec, step


class Weigh(FlowSpec):
    @step
    def start(self):
        self.weights = {
            "second/kernel": np.linspace(-1, 1, 6, dtype="float32").reshape(2, 3),
            "first/kernel": np.arange(12, dtype="int16").reshape(3, 4).T,
            "größe": np.array([True, False]),
            "steps": np.array(1234),
            "half": np.array([0.5, 65504], dtype="float16"),
            "none": np.zeros((0, 3)),
        }
        self.rate = 0.25
        self.next(self.end)

    @step
    def end(self):
        self.order = list(self.weights)
        self.mixed = {"kernel": self.weights["steps"], "name": "not only arrays"}


if __name__ == "__main__":
    Weigh()
