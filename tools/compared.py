"""Which words of an output have to be the same on two machines, and in two front ends."""

import re

# Read by nbval (conftest.py) and by the test that runs chapters in a browser.
SANITIZED = {
    # What is said, not how it looks.
    r' style="[^"]*"': "",
    r"(?s)<style>.*?</style>": "",
    # A picture is compared by what it says in words: its pixels depend on the machine's fonts.
    r' src="data:image/[^"]*"': "",
    # The library's source, beside the learner's after a right answer: it may change.
    r"(?s)<details><summary>Yours beside.*?</details>": "",
    r"\b0x[0-9a-f]{6,16}\b": "0xADDRESS",  # as tools/run_notebooks.py
    # What rlx.course.measured prints: the verdict, and not the number, which another processor has.
    r"(?m)(?<=: )[^:\n]*(?=, (?:above|at least|below|at most) [^:\n]*: (?:True|False)$)": "NUMBER",
}


def said(cell) -> dict[str, list[str]]:
    """What a cell has printed, as one text, and all it has displayed, by MIME type. Without stderr
    and without plain pictures: as nbval compares."""
    found = {}
    printed = [output.text for output in cell.outputs if output.get("name") == "stdout"]
    if printed:
        found["stdout"] = [sanitized("".join(printed))]
    for output in cell.outputs:
        for kind, shown in output.get("data", {}).items():
            if not kind.startswith("image/"):
                found.setdefault(kind, []).append(sanitized(shown))
    return found


def sanitized(text):
    if not isinstance(text, str):
        return text  # JSON
    for pattern, replacement in SANITIZED.items():
        text = re.sub(pattern, replacement, text)
    return text
