"""Makes the repository an nbgrader course: docs/teaching.md says how it is used.

`make grade` repairs, runs and judges submissions, and uses nbgrader for the gradebook and the
pages. Nbgrader's own `autograde`, and its Formgrader, run and judge them in the same way.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tools"))

from grading.steps import Repair, Run
from make_exercises import Numbers
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.autograde import Autograde
from nbgrader.preprocessors import DeduplicateIds, Execute

OURS = {DeduplicateIds: Repair, Execute: Run}

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "rlx"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
c.CourseDirectory.submitted_directory = "grading/submitted"
c.CourseDirectory.autograded_directory = "grading/autograded"
c.CourseDirectory.feedback_directory = "grading/feedback"

c.GenerateAssignment.preprocessors = [
    Numbers,  # those of the seed that `make exercises SEED=…` has left in exercises/SEED
    *GenerateAssignment.preprocessors.default(),
]
c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("your turn")'}
# The zip with all submissions that Moodle gives: `Ada Lovelace_101_assignsubmission_file_/…`.
c.ZipCollectApp.downloaded_directory = "grading/downloaded"
c.FileNameCollectorPlugin.named_regexp = (
    r".*?(?P<first_name>[^/_]+) (?P<last_name>[^/_]+)_(?P<student_id>\d+)_assignsubmission_file_/?"
    r"(?P<file_id>\w+)"
)
c.OverwriteCells.add_missing_cells = True  # a graded cell that was deleted comes back
c.ExecutePreprocessor.timeout = 120  # seconds for a cell, as in the tests of the solutions
for steps in ("sanitize_preprocessors", "autograde_preprocessors"):
    c.Autograde[steps] = [OURS.get(step, step) for step in getattr(Autograde, steps).default()]
