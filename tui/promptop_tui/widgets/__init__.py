"""Widgets that more than one tab uses. Nothing here knows what a request is."""
