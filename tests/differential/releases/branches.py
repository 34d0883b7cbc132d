"""A flow with every shape of lineage that Metaflow had from its first release on."""

import os

from metaflow import FlowSpec, IncludeFile, Parameter, catch, current, retry, step


class BranchesFlow(FlowSpec):
    size = Parameter("size", default=2, type=int)
    words = IncludeFile("words", default="words.txt", is_text=True, help="some words")

    @step
    def start(self):
        self.numbers = list(range(self.size))
        self.next(self.outer, foreach="numbers")

    @step
    def outer(self):
        self.letters = ["a", "b"]
        self.next(self.first, foreach="letters")

    @step
    def first(self):
        self.letter = self.input
        self.next(self.second)

    @retry(times=1, minutes_between_retries=0)
    @step
    def second(self):
        self.tried = current.retry_count
        if self.letter == "b" and self.tried == 0 and self.index == 1:
            raise ValueError("not at once")
        print("second", self.letter)
        self.next(self.join_letters)

    @step
    def join_letters(self, inputs):
        self.joined = [i.letter for i in inputs]
        self.next(self.between)

    @step
    def between(self):
        self.next(self.join_numbers)

    @step
    def join_numbers(self, inputs):
        self.joined = [i.joined for i in inputs]
        self.next(self.fork)

    @step
    def fork(self):
        self.next(self.left, self.right)

    @catch(var="error")
    @step
    def left(self):
        raise KeyError("caught")
        self.next(self.merge)

    @step
    def right(self):
        self.next(self.merge)

    @step
    def merge(self, inputs):
        if os.environ.get("FAIL"):
            raise RuntimeError("stop here")
        self.joined = inputs.right.joined
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    BranchesFlow()
