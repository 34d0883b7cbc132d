"""Fetch the readings of the weather stations. One is slow, one sends nonsense."""

from datetime import date

from metaflow import FlowSpec, Parameter, catch, current, retry, step

READINGS = {
    "airport": [("2026-02-26", 7.5), ("2026-02-27", 9.0), ("2026-02-28", 8.0)],
    "harbour": [("2026-01-27", 4.0), ("2026-01-28", 3.5)],
    "old town": [],
}


class StationError(Exception):
    """A station has not been heard of for too long."""


class Refresh(FlowSpec):
    today = Parameter("today", help="The day to fetch for", default="2026-03-01")
    patience = Parameter("patience", help="Days that readings may be old", default=7)

    @step
    def start(self):
        self.stations = sorted(READINGS)
        self.next(self.fetch, foreach="stations")

    @catch(var="problem", print_exception=False)
    @retry(times=1, minutes_between_retries=0)
    @step
    def fetch(self):
        self.station = self.input
        print(f"{self.station}: attempt {current.retry_count}")
        if self.station == "airport" and current.retry_count == 0:
            raise ConnectionError("airport: no answer within 10 s")
        self.readings = READINGS[self.station]
        self.mean = sum(value for _, value in self.readings) / len(self.readings)
        self.newest = date.fromisoformat(self.readings[-1][0])
        print(f"{self.station}: {len(self.readings)} readings, {self.mean:.1f} degrees on average")
        self.next(self.check)

    @step
    def check(self, inputs):
        self.problems = {task.station: task.problem.exception for task in inputs if task.problem}
        for station, problem in self.problems.items():
            print(f"{station}: left out, {problem}")
        today = date.fromisoformat(self.today)
        for task in inputs:
            age = None if task.problem else (today - task.newest).days
            if age is not None and age > self.patience:
                raise StationError(f"{task.station}: the newest reading is {age} days old")
        self.newest = {task.station: task.newest for task in inputs if not task.problem}
        self.next(self.end)

    @step
    def end(self):
        print(f"{len(self.newest)} stations are up to date")


if __name__ == "__main__":
    Refresh()
