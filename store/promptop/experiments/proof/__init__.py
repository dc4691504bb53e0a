"""Whether a shorter prompt gets the same answers: what is asked, what is judged, and what may be said."""
