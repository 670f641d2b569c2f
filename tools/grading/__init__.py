"""Grading of submissions: `tools/grade.py` is the command, docs/teaching.md says how it is used.

`repair` makes a clean notebook of what was handed in; `kernel` runs it, in a sandbox where there is
one; `run` goes through its cells and judges the graded ones out here; `book` enters the points with
nbgrader. `bare` makes the copy of rlx that the sandbox sees, without the course's own answers.
"""
