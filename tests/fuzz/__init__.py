"""Fuzzing of what reads other people's bytes: `python -m tests.fuzz [TARGET] [--seconds N | --cases N] [--seed S]`."""
