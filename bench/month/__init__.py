"""A made-up month of decisions, and the proof that deciding them again is no guess."""
