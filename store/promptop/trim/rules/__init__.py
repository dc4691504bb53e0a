"""The rules, a module a kind; :mod:`promptop.trim.rules.all_rules` has them all.

Nothing is loaded here: two threads that came to the package by different modules would wait for each other.
"""
