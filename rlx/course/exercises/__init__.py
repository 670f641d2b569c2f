"""The exercises of the course, a module for each chapter. Importing one declares its exercises."""
