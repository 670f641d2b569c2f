"""Makes the repository an nbgrader course: docs/teaching.md says how it is used."""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tools"))

from make_exercises import Numbers
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.autograde import Autograde
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade


class Grade(Execute):
    """Runs a submission. It has two habits that a kernel does not have by itself."""

    def start_new_kernel(self, **options):
        # What a student passes is not noted as the teacher's progress.
        self.home = tempfile.TemporaryDirectory(prefix="rlx-grading-")
        environment = {**os.environ, "RLX_HOME": self.home.name}
        super().start_new_kernel(env=environment, **options)

    def preprocess_cell(self, cell, resources, index):
        # By now a student may mean something else by `check`, on purpose or not.
        if is_grade(cell) and "check(" in cell.source:
            self.kc.execute("from rlx.course import check", silent=True, stop_on_error=False)
        return super().preprocess_cell(cell, resources, index)


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
c.Autograde.autograde_preprocessors = [
    Grade if step is Execute else step for step in Autograde.autograde_preprocessors.default()
]
