"""Result images: how they are named, where they are kept, and the links that lead to them."""
