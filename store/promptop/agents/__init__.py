"""Coding agents on this machine: their session files as rows of the log, their blocks and limits.

Only usage is read (counts, models, times, names of projects and branches). Texts stay where they are.
"""
