"""Beat Saber maps as data, and what writes them."""
