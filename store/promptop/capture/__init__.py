"""Capture: what watches the calls of a client. It loads the standard library and the host's own httpx2 or httpx.

Start with :func:`promptop.observe`; :func:`promptop.transport` is its explicit form, :func:`promptop.annotate` labels
calls (docs/shim.md).
"""
