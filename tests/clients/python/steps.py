"""Steps of a program that is a client's user: each prints `passed NAME`, or how it failed; the program fails if one did."""

import sys
import traceback

_steps = []


def step(run):
    """Marks a function as a step, in the order of the file."""
    _steps.append(run)
    return run


def equal(wanted, found, what):
    if wanted != found or type(wanted) is not type(found):
        raise AssertionError(f"{what}: {found!r} instead of {wanted!r}")


def raises(error, call, *arguments, **named):
    """The error that a call must raise."""
    try:
        call(*arguments, **named)
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__} of {arguments!r}")


def main(argument):
    """Runs all steps with `argument`; of those that the command line names after the first argument, where there are some."""
    wanted = sys.argv[2:]
    failed = False
    for run in _steps:
        if wanted and run.__name__ not in wanted:
            continue
        try:
            run(argument)
        except Exception:
            failed = True
            traceback.print_exc()
            print(f"failed {run.__name__}", flush=True)
        else:
            print(f"passed {run.__name__}", flush=True)
    sys.exit(failed)
