"""Released models in memory, and how questions are put to them."""
