"""What ``promptop watch`` puts into the programs that a command starts.

The folder stands first on ``PYTHONPATH``, so every Python child begins with ``sitecustomize.py`` of it, which hands on
to the one that would have been there. Nothing of it is left when the command has ended.
"""
