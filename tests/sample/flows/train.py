"""Which simple model predicts bike rentals best? One task per model, then the best one."""

import csv
from statistics import linear_regression, mean

from metaflow import FlowSpec, IncludeFile, Parameter, step


class Line:
    """A straight line through the points: rentals = slope x temperature + start."""

    def __init__(self, points):
        self.slope, self.start = linear_regression(*zip(*points, strict=True))

    def __call__(self, temperature):
        return self.slope * temperature + self.start


class Average:
    """The same answer whatever the temperature."""

    def __init__(self, points):
        self.value = mean(rentals for _, rentals in points)

    def __call__(self, temperature):
        return self.value


class Nearest:
    """The rentals of the day whose temperature was closest."""

    def __init__(self, points):
        self.points = points

    def __call__(self, temperature):
        return min(self.points, key=lambda point: abs(point[0] - temperature))[1]


MODELS = {"average": Average, "line": Line, "nearest": Nearest}


class Train(FlowSpec):
    days = Parameter("days", help="Days to test on, the last ones", default=6)
    dry_only = Parameter("dry_only", help="Leave out days with rain", default=False)
    rentals = IncludeFile("rentals", help="One row per day", default="rentals.csv")

    @step
    def start(self):
        rows = list(csv.DictReader(self.rentals.splitlines()))
        if self.dry_only:
            rows = [row for row in rows if float(row["rain"]) == 0]
        points = [(int(row["temperature"]), int(row["rentals"])) for row in rows]
        self.training, self.test = points[: -self.days], points[-self.days :]
        self.models = sorted(MODELS)
        print(f"{len(rows)} days: {len(self.training)} to learn from, {len(self.test)} to test on")
        self.next(self.fit, foreach="models")

    @step
    def fit(self):
        self.kind = self.input
        self.model = MODELS[self.kind](self.training)
        self.misses = [self.model(temperature) - rentals for temperature, rentals in self.test]
        self.error = round(mean(abs(miss) for miss in self.misses), 1)
        for (temperature, rentals), miss in zip(self.test, self.misses, strict=True):
            print(f"{temperature} degrees: {rentals} rentals, predicted {rentals + miss:.0f}")
        print(f"{self.kind}: wrong by {self.error} rentals a day")
        self.next(self.choose)

    @step
    def choose(self, inputs):
        self.errors = {task.kind: task.error for task in inputs}
        best = min(inputs, key=lambda task: task.error)
        self.best, self.model = best.kind, best.model
        self.next(self.end)

    @step
    def end(self):
        print(f"Best model: {self.best}, wrong by {self.errors[self.best]} rentals a day")


if __name__ == "__main__":
    Train()
