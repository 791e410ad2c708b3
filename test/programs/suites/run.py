"""Runs modules of Python's own tests; prints a line for each test: its outcome and its name.

    PYTHONPATH=SUITES/python python3 run.py test.test_socket ...
"""
import os
import sys
import unittest


class Lines(unittest.TestResult):
    def __init__(self, out):
        super().__init__()
        self.out = out
        self.bad = set()

    def tell(self, outcome, test):
        name = test.id() if hasattr(test, "id") else str(test)
        print(f"{outcome}\t{name}", file=self.out, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        if test.id() not in self.bad:
            self.tell("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.tell("fail", test)
        print(self.failures[-1][1], file=sys.stderr, flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        self.tell("error", test)
        print(self.errors[-1][1], file=sys.stderr, flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell("skip", test)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.tell("ok", test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.tell("fail", test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None and test.id() not in self.bad:
            self.bad.add(test.id())
            self.tell("fail", test)
            print(*err, file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.chdir(os.environ.get("TMPDIR", "/tmp"))
    # What tests print themselves does not belong to the answer.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    loader = unittest.defaultTestLoader
    loader.loadTestsFromNames(sys.argv[1:]).run(Lines(answer))
