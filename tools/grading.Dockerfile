# What a submission needs to run, and nothing of the course beside it: no solutions, no gradebook.
# tools/grade_in_container builds it and uses it.
FROM python:3.11-slim
COPY pyproject.toml README.md LICENSE constraints.txt /rlx/
COPY rlx /rlx/rlx
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    -c /rlx/constraints.txt '/rlx[course,classroom]'
WORKDIR /course
