"""The palette: one file per node type, in folders by category. The registry finds them; nothing imports them."""
