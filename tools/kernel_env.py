"""The environment in which notebooks are executed, so that two machines print the same."""

KERNEL_ENV = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",  # the order of a parallel sum depends on the number of threads
    "MPLBACKEND": "",  # not the shell's: a kernel then draws inline, a script to no screen
    "COLUMNS": "80",
    "NO_COLOR": "1",
    "TZ": "UTC",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the debugger complains on stderr
}
