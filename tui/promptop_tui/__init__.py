"""The screens of promptop: a thin face over the ``promptop`` package."""
